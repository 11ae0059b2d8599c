#include "tensor/integer_blocks.h"

#include <algorithm>

#include "base/check.h"
#include "tensor/blocks/fp4.h"
#include "tensor/blocks/iq.h"
#include "tensor/blocks/k_quants.h"
#include "tensor/blocks/legacy.h"
#include "tensor/blocks/scalars.h"
#include "tensor/blocks/ternary.h"

namespace duet {
namespace {

using blocks::high;
using blocks::load;
using blocks::load_f16;
using blocks::low;
using blocks::to_float;

void set_scale(IntegerBlock& block, float scale, float minimum = 0.0F) {
  for (float& s : block.scale) s = scale;
  for (float& m : block.minimum) m = minimum;
}

/// The low nibbles of `count` bytes, then the high ones, each minus `offset`.
void nibbles(const uint8_t* bytes, int count, int offset, int8_t* out) {
  for (int i = 0; i < count; ++i) {
    out[i] = static_cast<int8_t>(low(bytes[i]) - offset);
    out[i + count] = static_cast<int8_t>(high(bytes[i]) - offset);
  }
}

/// Bit i of `bits` is bit 4 of integer i.
void add_fifth_bits(uint32_t bits, int8_t* q) {
  for (int i = 0; i < 32; ++i) q[i] = static_cast<int8_t>(q[i] + static_cast<int>(bits >> i & 1U) * 16);
}

// One function per type: `columns` values, the type's kSize, of one block. blocks/*.h have the layouts.

void decode(blocks::Q4_0, const uint8_t* block, IntegerBlock* out) {
  set_scale(*out, load_f16(block));
  nibbles(block + 2, 16, 8, out->q);
}

void decode(blocks::Q4_1, const uint8_t* block, IntegerBlock* out) {
  set_scale(*out, load_f16(block), load_f16(block + 2));
  nibbles(block + 4, 16, 0, out->q);
}

void decode(blocks::Q5_0, const uint8_t* block, IntegerBlock* out) {
  set_scale(*out, load_f16(block));
  nibbles(block + 6, 16, 16, out->q);
  add_fifth_bits(load<uint32_t>(block + 2), out->q);
}

void decode(blocks::Q5_1, const uint8_t* block, IntegerBlock* out) {
  set_scale(*out, load_f16(block), load_f16(block + 2));
  nibbles(block + 8, 16, 0, out->q);
  add_fifth_bits(load<uint32_t>(block + 4), out->q);
}

void decode_bytes(float d, const uint8_t* bytes, IntegerBlock* out) {
  set_scale(*out, d);
  for (int i = 0; i < 32; ++i) out->q[i] = static_cast<int8_t>(bytes[i]);
}

void decode(blocks::Q8_0, const uint8_t* block, IntegerBlock* out) { decode_bytes(load_f16(block), block + 2, out); }
void decode(blocks::Q8_1, const uint8_t* block, IntegerBlock* out) { decode_bytes(load_f16(block), block + 4, out); }
void decode(blocks::Q8_K, const uint8_t* block, IntegerBlock* out) {
  for (int j = 0; j < 8; ++j) decode_bytes(load<float>(block), block + 4 + 32 * j, out + j);
}

void decode(blocks::Q1_0, const uint8_t* block, IntegerBlock* out) {
  for (int j = 0; j < 4; ++j) {
    set_scale(out[j], load_f16(block));
    const auto bits = load<uint32_t>(block + 2 + 4 * j);
    for (int i = 0; i < 32; ++i) out[j].q[i] = static_cast<int8_t>((bits >> i & 1U) != 0 ? 1 : -1);
  }
}

void decode(blocks::Q2_0, const uint8_t* block, IntegerBlock* out) {
  for (int j = 0; j < 2; ++j) {
    set_scale(out[j], load_f16(block));
    for (int i = 0; i < 32; ++i) {
      out[j].q[i] = static_cast<int8_t>((block[2 + 8 * j + i / 4] >> (2 * (i % 4)) & 3) - 1);
    }
  }
}

void decode(blocks::Q2_K, const uint8_t* block, IntegerBlock* out) {
  for (int j = 0; j < 16; ++j) {
    IntegerBlock& part = out[j / 2];
    part.scale[j % 2] = load_f16(block + 80) * to_float(low(block[j]));
    part.minimum[j % 2] = -(load_f16(block + 82) * to_float(high(block[j])));
    const uint8_t* q = block + 16 + 32 * (j / 8) + 16 * (j % 2);
    for (int i = 0; i < 16; ++i) part.q[16 * (j % 2) + i] = static_cast<int8_t>(q[i] >> (2 * (j % 8 / 2)) & 3);
  }
}

void decode(blocks::Q3_K, const uint8_t* block, IntegerBlock* out) {
  const uint8_t* sc = block + 96;
  for (int j = 0; j < 16; ++j) {
    IntegerBlock& part = out[j / 2];
    const int s = (sc[j % 8] >> (4 * (j / 8)) & 15) | (sc[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
    part.scale[j % 2] = load_f16(block + 108) * to_float(s - 32);
    part.minimum[j % 2] = 0.0F;
    const uint8_t* q = block + 32 + 32 * (j / 8) + 16 * (j % 2);
    const uint8_t* h = block + 16 * (j % 2);
    for (int i = 0; i < 16; ++i) {
      part.q[16 * (j % 2) + i] =
          static_cast<int8_t>((q[i] >> (2 * (j % 8 / 2)) & 3) + ((h[i] >> (j / 2) & 1) << 2) - 4);
    }
  }
}

/// Q4_K and Q5_K but for the fifth bit: nibbles from `qs` on.
void decode_4_bits(const uint8_t* block, const uint8_t* qs, IntegerBlock* out) {
  for (int j = 0; j < 8; ++j) {
    const blocks::ScaleAndMinimum part = blocks::scale_and_minimum(block + 4, j);
    set_scale(out[j], load_f16(block) * to_float(part.scale), -(load_f16(block + 2) * to_float(part.minimum)));
    for (int i = 0; i < 32; ++i) out[j].q[i] = static_cast<int8_t>(qs[32 * (j / 2) + i] >> (4 * (j % 2)) & 15);
  }
}

void decode(blocks::Q4_K, const uint8_t* block, IntegerBlock* out) { decode_4_bits(block, block + 16, out); }

void decode(blocks::Q5_K, const uint8_t* block, IntegerBlock* out) {
  decode_4_bits(block, block + 48, out);
  for (int j = 0; j < 8; ++j) {
    for (int i = 0; i < 32; ++i) out[j].q[i] = static_cast<int8_t>(out[j].q[i] + (block[16 + i] >> j & 1) * 16);
  }
}

void decode(blocks::Q6_K, const uint8_t* block, IntegerBlock* out) {
  for (int j = 0; j < 16; ++j) {
    IntegerBlock& part = out[j / 2];
    part.scale[j % 2] = load_f16(block + 208) * to_float(static_cast<int8_t>(block[192 + j]));
    part.minimum[j % 2] = 0.0F;
    const int c = j / 8, k = j % 8 / 2;
    const uint8_t* ql = block + 64 * c + 16 * (j % 2) + 32 * (k % 2);
    const uint8_t* qh = block + 128 + 32 * c + 16 * (j % 2);
    for (int i = 0; i < 16; ++i) {
      const int value = (ql[i] >> (4 * (k / 2)) & 15) | (qh[i] >> (2 * k) & 3) << 4;
      part.q[16 * (j % 2) + i] = static_cast<int8_t>(value - 32);
    }
  }
}

void decode(blocks::MXFP4, const uint8_t* block, IntegerBlock* out) {
  set_scale(*out, blocks::e8m0_half(block[0]));
  nibbles(block + 1, 16, 0, out->q);
  for (int8_t& q : out->q) q = blocks::kTwiceE2M1[static_cast<uint8_t>(q)];
}

void decode(blocks::NVFP4, const uint8_t* block, IntegerBlock* out) {
  for (int p = 0; p < 4; ++p) {
    IntegerBlock& part = out[p / 2];
    part.scale[p % 2] = blocks::ue4m3_half(block[p]);
    part.minimum[p % 2] = 0.0F;
    int8_t* const q = part.q + 16 * (p % 2);
    nibbles(block + 4 + 8 * p, 8, 0, q);
    for (int i = 0; i < 16; ++i) q[i] = blocks::kTwiceE2M1[static_cast<uint8_t>(q[i])];
  }
}

/// The three-valued types: d q with q in -1, 0, 1 (and 2 in TQ2_0), so their float32 values at d = 1 are the integers.
template <typename Block>
void decode_unit(const uint8_t* block, int scale_at, IntegerBlock* out) {
  uint8_t unit[Block::kBytes];
  float values[Block::kSize];
  std::copy(block, block + Block::kBytes, unit);
  unit[scale_at] = 0x00;  // 1.0 in binary16
  unit[scale_at + 1] = 0x3c;
  Block::decode(unit, values);
  for (int64_t i = 0; i < Block::kSize; ++i) out[i / 32].q[i % 32] = static_cast<int8_t>(values[i]);
  for (int64_t j = 0; j < Block::kSize / 32; ++j) set_scale(out[j], load_f16(block + scale_at));
}

void decode(blocks::TQ1_0, const uint8_t* block, IntegerBlock* out) { decode_unit<blocks::TQ1_0>(block, 52, out); }
void decode(blocks::TQ2_0, const uint8_t* block, IntegerBlock* out) { decode_unit<blocks::TQ2_0>(block, 64, out); }

/// The code books: blocks/iq.cc.
template <typename Block>
void decode(Block, const uint8_t* block, IntegerBlock* out) {
  for (int64_t j = 0; j < Block::kSize / kIntegerColumns; ++j) set_scale(out[j], 0.0F);
  Block::decode_integers(block, out);
}

using Decoder = void (*)(const uint8_t* blocks, int64_t elements, IntegerBlock* out);

template <typename Block>
void decode_blocks(const uint8_t* blocks, int64_t elements, IntegerBlock* out) {
  for (int64_t i = 0; i < elements; i += Block::kSize, blocks += Block::kBytes) {
    decode(Block{}, blocks, out + i / kIntegerColumns);
  }
}

struct Entry {
  IntegerForm form;
  Decoder decode = nullptr;
};

template <typename Block>
Entry entry(int scales, int minimums) {
  return {{scales, minimums}, decode_blocks<Block>};
}

Entry find(DType dtype) {
  using namespace blocks;
  switch (dtype) {
    case DType::kQ4_0:
      return entry<Q4_0>(1, 0);
    case DType::kQ4_1:
      return entry<Q4_1>(1, 1);
    case DType::kQ5_0:
      return entry<Q5_0>(1, 0);
    case DType::kQ5_1:
      return entry<Q5_1>(1, 1);
    case DType::kQ8_0:
      return entry<Q8_0>(1, 0);
    case DType::kQ8_1:
      return entry<Q8_1>(1, 0);
    case DType::kQ2_K:
      return entry<Q2_K>(2, 2);
    case DType::kQ3_K:
      return entry<Q3_K>(2, 0);
    case DType::kQ4_K:
      return entry<Q4_K>(1, 1);
    case DType::kQ5_K:
      return entry<Q5_K>(1, 1);
    case DType::kQ6_K:
      return entry<Q6_K>(2, 0);
    case DType::kQ8_K:
      return entry<Q8_K>(1, 0);
    case DType::kIQ2_XXS:
      return entry<IQ2_XXS>(1, 0);
    case DType::kIQ2_XS:
      return entry<IQ2_XS>(2, 0);
    case DType::kIQ2_S:
      return entry<IQ2_S>(2, 0);
    case DType::kIQ3_XXS:
      return entry<IQ3_XXS>(1, 0);
    case DType::kIQ3_S:
      return entry<IQ3_S>(1, 0);
    case DType::kIQ1_S:
      return entry<IQ1_S>(1, 0);
    case DType::kIQ1_M:
      return entry<IQ1_M>(2, 0);
    case DType::kIQ4_NL:
      return entry<IQ4_NL>(1, 0);
    case DType::kIQ4_XS:
      return entry<IQ4_XS>(1, 0);
    case DType::kTQ1_0:
      return entry<TQ1_0>(1, 0);
    case DType::kTQ2_0:
      return entry<TQ2_0>(1, 0);
    case DType::kMXFP4:
      return entry<MXFP4>(1, 0);
    case DType::kNVFP4:
      return entry<NVFP4>(2, 0);
    case DType::kQ1_0:
      return entry<Q1_0>(1, 0);
    case DType::kQ2_0:
      return entry<Q2_0>(1, 0);
    default:
      return {};
  }
}

}  // namespace

IntegerForm integer_form(DType dtype) { return find(dtype).form; }

void decode_integers(DType dtype, const std::byte* blocks, int64_t elements, IntegerBlock* out) noexcept {
  const Entry found = find(dtype);
  DUET_CHECK(found.decode != nullptr && elements >= 0 && elements % dtype_info(dtype).block_size == 0);
  found.decode(reinterpret_cast<const uint8_t*>(blocks), elements, out);
}

}  // namespace duet
