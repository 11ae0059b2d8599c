#include "backend/kv_page.h"

#include <cstring>

#include "base/fetch_line.h"
#include "tensor/round_row.h"

namespace duet {
namespace {

constexpr int64_t kTokens = KvView::kPageTokens;
constexpr int64_t kBlock = 32;                   // of q8_0: a float16 and 32 bytes
constexpr int64_t kScale = 2, kBlockBytes = 34;  // bytes

/// Where element d of the row in a slot lies, in elements behind the scales of its head.
struct Places {
  int64_t first, step;
};
Places key_places(int64_t slot) { return {slot, kTokens}; }
Places value_places(const KvView& kv, int64_t slot) { return {slot * kv.head_dim, 1}; }

template <typename T>
void scatter(const T* row, int64_t count, T* out, Places places) noexcept {
  if (places.step == 1) {
    std::memcpy(out + places.first, row, static_cast<size_t>(count) * sizeof(T));
    return;
  }
  for (int64_t d = 0; d < count; ++d) out[places.first + d * places.step] = row[d];
}

template <typename T>
void gather(const T* from, int64_t count, Places places, T* row) noexcept {
  for (int64_t d = 0; d < count; ++d) row[d] = from[places.first + d * places.step];
}

/// In the pages a head of q8_0 has its scales [D/32, P] first.
int64_t scale_bytes(const KvView& kv) { return kv.head_dim / kBlock * kTokens * kScale; }

void store_row(const KvView& kv, const float* x, std::byte* head, int64_t slot, Places places,
               KvRounding round) noexcept {
  // Rows are cut to a whole number of blocks, so that a buffer of any head dimension is not needed.
  constexpr int64_t kPiece = 256;
  for (int64_t d = 0; d < kv.head_dim; d += kPiece) {
    const int64_t count = kv.head_dim - d < kPiece ? kv.head_dim - d : kPiece;
    const Places part = {places.first + d * places.step, places.step};
    alignas(4) std::byte rounded[kPiece * sizeof(float)];
    if (round != nullptr) {
      round(x + d, count, rounded);
    } else {
      round_row(kv.dtype, x + d, count, rounded);
    }
    switch (dtype_info(kv.dtype).block_bytes) {
      case 4:
        scatter(reinterpret_cast<const float*>(rounded), count, reinterpret_cast<float*>(head), part);
        break;
      case 2:
        scatter(reinterpret_cast<const uint16_t*>(rounded), count, reinterpret_cast<uint16_t*>(head), part);
        break;
      default:
        for (int64_t b = 0; b < count / kBlock; ++b) {
          const std::byte* const block = rounded + b * kBlockBytes;
          std::memcpy(head + ((d / kBlock + b) * kTokens + slot) * kScale, block, kScale);
          scatter(block + kScale, kBlock, head + scale_bytes(kv), {part.first + b * kBlock * part.step, part.step});
        }
    }
  }
}

void load_row(const KvView& kv, const std::byte* head, int64_t slot, Places places, float* out) noexcept {
  switch (dtype_info(kv.dtype).block_bytes) {
    case 4:
      gather(reinterpret_cast<const float*>(head), kv.head_dim, places, out);
      return;
    case 2:
      for (int64_t d = 0; d < kv.head_dim; ++d) {
        dequantize(kv.dtype, head + 2 * (places.first + d * places.step), 1, out + d);
      }
      return;
    default:
      for (int64_t b = 0; b < kv.head_dim / kBlock; ++b) {
        std::byte block[kBlockBytes];
        std::memcpy(block, head + (b * kTokens + slot) * kScale, kScale);
        gather(head + scale_bytes(kv), kBlock, {places.first + b * kBlock * places.step, places.step}, block + kScale);
        dequantize(kv.dtype, block, kBlock, out + b * kBlock);
      }
  }
}

}  // namespace

void store_kv(const KvView& kv, std::byte* page, int64_t head, int64_t slot, const float* key, const float* value,
              KvRounding round) noexcept {
  store_row(kv, key, page + kv.keys_at(head), slot, key_places(slot), round);
  store_row(kv, value, page + kv.values_at(head), slot, value_places(kv, slot), round);
}

void fetch_key_places(const KvView& kv, const std::byte* page, int64_t head, int64_t slot) noexcept {
  if (dtype_info(kv.dtype).block_size > 1) return;
  const int64_t bytes = dtype_info(kv.dtype).block_bytes;
  const std::byte* const keys = page + kv.keys_at(head) + slot * bytes;
  for (int64_t d = 0; d < kv.head_dim; ++d) fetch_line<FetchFor::kWriting>(keys + d * kTokens * bytes);
}

void load_key(const KvView& kv, const std::byte* page, int64_t head, int64_t slot, float* out) noexcept {
  load_row(kv, page + kv.keys_at(head), slot, key_places(slot), out);
}

void load_value(const KvView& kv, const std::byte* page, int64_t head, int64_t slot, float* out) noexcept {
  load_row(kv, page + kv.values_at(head), slot, value_places(kv, slot), out);
}

}  // namespace duet
