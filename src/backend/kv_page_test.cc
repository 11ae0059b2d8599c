#include "backend/kv_page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tensor/round_row.h"

namespace duet {
namespace {

std::vector<float> random_rows(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = normal(engine);
  return x;
}

std::vector<float> rounded(DType type, const std::vector<float>& x, int64_t begin, int64_t count) {
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(dtype_info(type), count)));
  round_row(type, x.data() + begin, count, bytes.data());
  std::vector<float> y(static_cast<size_t>(count));
  dequantize(type, bytes.data(), count, y.data());
  return y;
}

struct Rows {
  std::vector<std::vector<float>> keys, values;  // of each head and slot
  bool operator==(const Rows&) const = default;
};
Rows read_all(const KvView& kv, const std::byte* page) {
  Rows rows;
  for (int64_t head = 0; head < kv.kv_heads; ++head) {
    for (int64_t slot = 0; slot < KvView::kPageTokens; ++slot) {
      std::vector<float> row(static_cast<size_t>(kv.head_dim));
      load_key(kv, page, head, slot, row.data());
      rows.keys.push_back(row);
      load_value(kv, page, head, slot, row.data());
      rows.values.push_back(row);
    }
  }
  return rows;
}

TEST(KvPage, ATokenIsRoundedOnceAndTouchesItsSlotOnly) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const int64_t dim : {int64_t{5}, int64_t{64}, int64_t{288}}) {
      if (dim % dtype_info(type).block_size != 0) continue;
      KvView kv;
      kv.dtype = type;
      kv.kv_heads = 3;
      kv.head_dim = dim;
      const int64_t bytes = kv.page_bytes();
      EXPECT_EQ(bytes, 2 * 3 * 64 * row_bytes(dtype_info(type), dim));
      std::vector<std::byte> page(static_cast<size_t>(bytes) + 64, std::byte{0x11});
      Rows expected = read_all(kv, page.data());
      for (const int64_t slot : {0, 63, 17, 16}) {
        const auto seed = static_cast<uint32_t>(slot + dim);
        const std::vector<float> k = random_rows(3 * dim, seed), v = random_rows(3 * dim, seed + 1);
        for (int64_t head = 0; head < 3; ++head) {
          store_kv(kv, page.data(), head, slot, k.data() + head * dim, v.data() + head * dim);
          expected.keys[static_cast<size_t>(64 * head + slot)] = rounded(type, k, head * dim, dim);
          expected.values[static_cast<size_t>(64 * head + slot)] = rounded(type, v, head * dim, dim);
        }
        EXPECT_EQ(read_all(kv, page.data()), expected) << dtype_info(type).name << " " << dim << " slot " << slot;
      }
      EXPECT_TRUE(std::all_of(page.begin() + bytes, page.end(), [](std::byte b) { return b == std::byte{0x11}; }));
    }
  }
}

}  // namespace
}  // namespace duet
