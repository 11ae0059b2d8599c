#include "tensor/blocks/legacy.h"

#include <array>
#include <cstddef>

#include "tensor/blocks/scalars.h"

namespace duet::blocks {
namespace {

/// d q for 32 signed bytes.
void scale_bytes(float d, const uint8_t* __restrict q, float* __restrict out) noexcept {
  for (int i = 0; i < 32; ++i) out[i] = d * to_float(static_cast<int8_t>(q[i]));
}

/// 1 << i. A table, because baseline x86 has no vector shift by different amounts and the loop below is to become
/// vector code.
constexpr std::array<uint32_t, 32> kBit = [] {
  std::array<uint32_t, 32> bits{};
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = uint32_t{1} << i;
  return bits;
}();

/// The 5-bit numbers of Q5_0 and Q5_1.
void unpack_5_bits(uint32_t qh, const uint8_t* __restrict qs, int* __restrict q) noexcept {
  for (size_t i = 0; i < 16; ++i) q[i] = low(qs[i]) | ((qh & kBit[i]) != 0 ? 16 : 0);
  for (size_t i = 0; i < 16; ++i) q[i + 16] = high(qs[i]) | ((qh & kBit[i + 16]) != 0 ? 16 : 0);
}

}  // namespace

void Q4_0::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  for (int i = 0; i < 16; ++i) out[i] = d * to_float(low(block[2 + i]) - 8);
  for (int i = 0; i < 16; ++i) out[i + 16] = d * to_float(high(block[2 + i]) - 8);
}

void Q4_1::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  const float m = load_f16(block + 2);
  for (int i = 0; i < 16; ++i) out[i] = d * to_float(low(block[4 + i])) + m;
  for (int i = 0; i < 16; ++i) out[i + 16] = d * to_float(high(block[4 + i])) + m;
}

void Q5_0::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  int q[32];
  unpack_5_bits(load<uint32_t>(block + 2), block + 6, q);
  for (int i = 0; i < 32; ++i) out[i] = d * to_float(q[i] - 16);
}

void Q5_1::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  const float m = load_f16(block + 2);
  int q[32];
  unpack_5_bits(load<uint32_t>(block + 4), block + 8, q);
  for (int i = 0; i < 32; ++i) out[i] = d * to_float(q[i]) + m;
}

void Q8_0::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  scale_bytes(load_f16(block), block + 2, out);
}

void Q8_1::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  scale_bytes(load_f16(block), block + 4, out);
}

void Q1_0::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  for (int i = 0; i < 128; ++i) out[i] = (block[2 + i / 8] >> (i % 8) & 1) != 0 ? d : -d;
}

void Q2_0::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  for (int i = 0; i < 64; ++i) out[i] = d * to_float((block[2 + i / 4] >> (2 * (i % 4)) & 3) - 1);
}

}  // namespace duet::blocks
