#include "tensor/blocks/ternary.h"

#include "tensor/blocks/scalars.h"

namespace duet::blocks {
namespace {

/// Digits 0 to `digits` - 1 of `count` bytes, all bytes of one digit before the next digit.
float* decode_digits(float d, const uint8_t* __restrict bytes, int count, int digits, float* __restrict out) noexcept {
  int power = 1;
  for (int n = 0; n < digits; ++n) {
    for (int i = 0; i < count; ++i) out[i] = d * to_float((((bytes[i] * power) & 255) * 3 >> 8) - 1);
    out += count;
    power *= 3;
  }
  return out;
}

}  // namespace

void TQ1_0::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block + 52);
  out = decode_digits(d, block, 32, 5, out);
  out = decode_digits(d, block + 32, 16, 5, out);
  decode_digits(d, block + 48, 4, 4, out);
}

void TQ2_0::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block + 64);
  for (int j = 0; j < 8; ++j) {
    const uint8_t* q = block + 32 * (j / 4);
    const int shift = 2 * (j % 4);
    for (int i = 0; i < 32; ++i) out[32 * j + i] = d * to_float((q[i] >> shift & 3) - 1);
  }
}

}  // namespace duet::blocks
