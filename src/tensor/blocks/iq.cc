#include "tensor/blocks/iq.h"

#include <array>
#include <bit>
#include <cstddef>

#include "tensor/blocks/scalars.h"

namespace duet::blocks {
namespace {

#include "tensor/blocks/iq_grids.inc"

/// A code book: kRows rows of kWidth values.
template <size_t kRows, size_t kWidth>
using Grid = std::array<std::array<int8_t, kWidth>, kRows>;

/// Unpacks the rows of iq_grids.inc, kBits bits a value.
template <size_t kWidth, int kBits, size_t kRows, size_t kLevels>
constexpr Grid<kRows, kWidth> unpack(const std::array<uint16_t, kRows>& rows,
                                     const std::array<int8_t, kLevels>& levels) {
  Grid<kRows, kWidth> grid{};
  for (size_t row = 0; row < kRows; ++row) {
    for (size_t i = 0; i < kWidth; ++i) {
      grid[row][i] =
          levels[static_cast<size_t>(rows[row] >> (kBits * static_cast<int>(i))) & ((size_t{1} << kBits) - 1)];
    }
  }
  return grid;
}

constexpr Grid<2048, 8> kGrid1 = unpack<8, 2>(kIQ1Rows, kIQ1Levels);
constexpr Grid<256, 8> kGrid2Xxs = unpack<8, 2>(kIQ2_XXSRows, kIQ2_XXSLevels);
constexpr Grid<512, 8> kGrid2Xs = unpack<8, 2>(kIQ2_XSRows, kIQ2_XSLevels);
constexpr Grid<1024, 8> kGrid2S = unpack<8, 2>(kIQ2_SRows, kIQ2_SLevels);
constexpr Grid<256, 4> kGrid3Xxs = unpack<4, 3>(kIQ3_XXSRows, kIQ3_XXSLevels);
constexpr Grid<512, 4> kGrid3S = unpack<4, 3>(kIQ3_SRows, kIQ3_SLevels);

/// The 8 sign bits of a 7-bit sign code.
uint32_t signs_of(uint32_t code) noexcept { return code | (static_cast<uint32_t>(std::popcount(code)) & 1U) << 7; }

/// scale g with the signs of the bits from the lowest on.
template <size_t kWidth>
void decode_row(float scale, const std::array<int8_t, kWidth>& row, uint32_t signs, float* __restrict out) noexcept {
  for (size_t i = 0; i < kWidth; ++i) {
    out[i] = scale * to_float((signs >> i & 1U) != 0 ? -row[i] : row[i]);
  }
}

/// scale (g + delta).
void decode_shifted_row(float scale, const std::array<int8_t, 8>& row, float delta, float* __restrict out) noexcept {
  for (size_t i = 0; i < 8; ++i) out[i] = scale * (to_float(row[i]) + delta);
}

/// d v[nibble] of 16 bytes.
void decode_nibbles(float d, const uint8_t* __restrict qs, float* __restrict out) noexcept {
  for (int i = 0; i < 16; ++i) {
    out[i] = d * to_float(kIQ4Values[static_cast<size_t>(low(qs[i]))]);
    out[i + 16] = d * to_float(kIQ4Values[static_cast<size_t>(high(qs[i]))]);
  }
}

/// Where decode_body() puts the same block as integers: IntegerBlocks from `column` on.
struct IntegerOut {
  IntegerBlock* __restrict blocks;
  int64_t column;
  IntegerOut operator+(int64_t columns) const { return {blocks, column + columns}; }
  /// The integer of column + i and its scale.
  void put(size_t i, float scale, int q) const noexcept {
    const int64_t at = column + static_cast<int64_t>(i);
    IntegerBlock& block = blocks[at / kIntegerColumns];
    block.q[at % kIntegerColumns] = static_cast<int8_t>(q);
    block.scale[at % kIntegerColumns / 16] = scale;
  }
};

template <size_t kWidth>
void decode_row(float scale, const std::array<int8_t, kWidth>& row, uint32_t signs, IntegerOut out) noexcept {
  for (size_t i = 0; i < kWidth; ++i) out.put(i, scale, (signs >> i & 1U) != 0 ? -row[i] : row[i]);
}

/// (scale / 8) (8 g + 8 delta): delta is one eighth.
void decode_shifted_row(float scale, const std::array<int8_t, 8>& row, float delta, IntegerOut out) noexcept {
  for (size_t i = 0; i < 8; ++i) out.put(i, scale * 0.125F, 8 * row[i] + (delta < 0 ? -1 : 1));
}

void decode_nibbles(float d, const uint8_t* __restrict qs, IntegerOut out) noexcept {
  for (size_t i = 0; i < 16; ++i) {
    out.put(i, d, kIQ4Values[static_cast<size_t>(low(qs[i]))]);
    out.put(i + 16, d, kIQ4Values[static_cast<size_t>(high(qs[i]))]);
  }
}

/// d (0.5 + s) factor, rounded after each product.
float half_step_scale(float d, uint32_t s, float factor) noexcept {
  return d * (0.5F + to_float(static_cast<int>(s))) * factor;
}

template <typename Out>
void decode_body(IQ2_XXS, const uint8_t* __restrict block, Out out) noexcept {
  const float d = load_f16(block);
  for (int part = 0; part < 8; ++part) {
    const uint8_t* index = block + 2 + 8 * part;
    const auto a = load<uint32_t>(index + 4);
    const float scale = half_step_scale(d, a >> 28, 0.25F);
    for (int l = 0; l < 4; ++l) {
      decode_row(scale, kGrid2Xxs[index[l]], signs_of(a >> (7 * l) & 127U), out + 32 * part + 8 * l);
    }
  }
}

template <typename Out>
void decode_body(IQ2_XS, const uint8_t* __restrict block, Out out) noexcept {
  const float d = load_f16(block);
  for (int k = 0; k < 32; ++k) {
    const uint32_t q = load<uint16_t>(block + 2 + 2 * k);
    const uint32_t s = block[66 + k / 4] >> (4 * (k % 4 / 2)) & 15U;
    decode_row(half_step_scale(d, s, 0.25F), kGrid2Xs[q & 511U], signs_of(q >> 9), out + 8 * k);
  }
}

template <typename Out>
void decode_body(IQ2_S, const uint8_t* __restrict block, Out out) noexcept {
  const float d = load_f16(block);
  for (int k = 0; k < 32; ++k) {
    const uint32_t row = block[2 + k] | (block[66 + k / 4] >> (2 * (k % 4)) & 3U) << 8;
    const uint32_t s = block[74 + k / 4] >> (4 * (k % 4 / 2)) & 15U;
    decode_row(half_step_scale(d, s, 0.25F), kGrid2S[row], block[34 + k], out + 8 * k);
  }
}

template <typename Out>
void decode_body(IQ3_XXS, const uint8_t* __restrict block, Out out) noexcept {
  const float d = load_f16(block);
  for (int part = 0; part < 8; ++part) {
    const auto a = load<uint32_t>(block + 66 + 4 * part);
    const float scale = half_step_scale(d, a >> 28, 0.5F);
    for (int l = 0; l < 4; ++l) {
      const uint32_t signs = signs_of(a >> (7 * l) & 127U);
      const int k = 8 * part + 2 * l;
      decode_row(scale, kGrid3Xxs[block[2 + k]], signs, out + 4 * k);
      decode_row(scale, kGrid3Xxs[block[3 + k]], signs >> 4, out + 4 * k + 4);
    }
  }
}

template <typename Out>
void decode_body(IQ3_S, const uint8_t* __restrict block, Out out) noexcept {
  const float d = load_f16(block);
  for (int k = 0; k < 64; ++k) {
    const uint32_t row = block[2 + k] | (block[66 + k / 8] >> (k % 8) & 1U) << 8;
    const uint32_t signs = static_cast<uint32_t>(block[74 + k / 2]) >> (4 * (k % 2));
    const int s = block[106 + k / 16] >> (4 * (k % 16 / 8)) & 15;
    decode_row(d * to_float(1 + 2 * s), kGrid3S[row], signs, out + 4 * k);
  }
}

template <typename Out>
void decode_body(IQ1_S, const uint8_t* __restrict block, Out out) noexcept {
  const float d = load_f16(block);
  for (int k = 0; k < 32; ++k) {
    const uint32_t w = load<uint16_t>(block + 34 + 2 * (k / 4));
    const float scale = d * to_float(2 * static_cast<int>(w >> 12 & 7U) + 1);
    const uint32_t row = block[2 + k] | (w >> (3 * (k % 4)) & 7U) << 8;
    decode_shifted_row(scale, kGrid1[row], (w & 0x8000U) != 0 ? -0.125F : 0.125F, out + 8 * k);
  }
}

template <typename Out>
void decode_body(IQ1_M, const uint8_t* __restrict block, Out out) noexcept {
  const uint8_t* w = block + 48;
  uint32_t bits = 0;
  for (int j = 0; j < 4; ++j) bits |= static_cast<uint32_t>(load<uint16_t>(w + 2 * j) >> 12) << (4 * j);
  const float d = f16(static_cast<uint16_t>(bits));
  for (int k = 0; k < 32; ++k) {
    const uint32_t n = static_cast<uint32_t>(block[32 + k / 2]) >> (4 * (k % 2)) & 15U;
    const int s = load<uint16_t>(w + 2 * (k / 8)) >> (3 * (k / 2 % 4)) & 7;
    const uint32_t row = block[k] | (n & 7U) << 8;
    decode_shifted_row(d * to_float(2 * s + 1), kGrid1[row], (n & 8U) != 0 ? -0.125F : 0.125F, out + 8 * k);
  }
}

template <typename Out>
void decode_body(IQ4_NL, const uint8_t* __restrict block, Out out) noexcept {
  decode_nibbles(load_f16(block), block + 2, out);
}

template <typename Out>
void decode_body(IQ4_XS, const uint8_t* __restrict block, Out out) noexcept {
  const float d = load_f16(block);
  const int sh = load<uint16_t>(block + 2);
  for (int b = 0; b < 8; ++b) {
    const int s = (block[4 + b / 2] >> (4 * (b % 2)) & 15) | (sh >> (2 * b) & 3) << 4;
    decode_nibbles(d * to_float(s - 32), block + 8 + 16 * b, out + 32 * b);
  }
}

}  // namespace

void IQ2_XXS::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ2_XXS{}, block, out);
}
void IQ2_XXS::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ2_XXS{}, block, IntegerOut{out, 0});
}
void IQ2_XS::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ2_XS{}, block, out);
}
void IQ2_XS::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ2_XS{}, block, IntegerOut{out, 0});
}
void IQ2_S::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ2_S{}, block, out);
}
void IQ2_S::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ2_S{}, block, IntegerOut{out, 0});
}
void IQ3_XXS::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ3_XXS{}, block, out);
}
void IQ3_XXS::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ3_XXS{}, block, IntegerOut{out, 0});
}
void IQ3_S::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ3_S{}, block, out);
}
void IQ3_S::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ3_S{}, block, IntegerOut{out, 0});
}
void IQ1_S::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ1_S{}, block, out);
}
void IQ1_S::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ1_S{}, block, IntegerOut{out, 0});
}
void IQ1_M::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ1_M{}, block, out);
}
void IQ1_M::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ1_M{}, block, IntegerOut{out, 0});
}
void IQ4_NL::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ4_NL{}, block, out);
}
void IQ4_NL::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ4_NL{}, block, IntegerOut{out, 0});
}
void IQ4_XS::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_body(IQ4_XS{}, block, out);
}
void IQ4_XS::decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept {
  decode_body(IQ4_XS{}, block, IntegerOut{out, 0});
}

}  // namespace duet::blocks
