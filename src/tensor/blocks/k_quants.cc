#include "tensor/blocks/k_quants.h"

#include "tensor/blocks/scalars.h"

namespace duet::blocks {

void Q2_K::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const uint8_t* sc = block;
  const uint8_t* qs = block + 16;
  const float d = load_f16(block + 80);
  const float m = load_f16(block + 82);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * to_float(low(sc[j]));
    const float minimum = m * to_float(high(sc[j]));
    const uint8_t* q = qs + 32 * (j / 8) + 16 * (j % 2);
    const int shift = 2 * (j % 8 / 2);
    for (int i = 0; i < 16; ++i) out[16 * j + i] = scale * to_float(q[i] >> shift & 3) - minimum;
  }
}

void Q3_K::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const uint8_t* hm = block;
  const uint8_t* qs = block + 32;
  const uint8_t* sc = block + 96;
  const float d = load_f16(block + 108);
  for (int j = 0; j < 16; ++j) {
    const int s = (sc[j % 8] >> (4 * (j / 8)) & 15) | (sc[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
    const float scale = d * to_float(s - 32);
    const uint8_t* q = qs + 32 * (j / 8) + 16 * (j % 2);
    const uint8_t* h = hm + 16 * (j % 2);
    const int shift = 2 * (j % 8 / 2);
    const int bit = j / 2;
    for (int i = 0; i < 16; ++i) {
      const int value = (q[i] >> shift & 3) + ((h[i] >> bit & 1) << 2) - 4;
      out[16 * j + i] = scale * to_float(value);
    }
  }
}

void Q4_K::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  const float m = load_f16(block + 2);
  for (int j = 0; j < 8; ++j) {
    const ScaleAndMinimum part = scale_and_minimum(block + 4, j);
    const float scale = d * to_float(part.scale);
    const float minimum = m * to_float(part.minimum);
    const uint8_t* q = block + 16 + 32 * (j / 2);
    const int shift = 4 * (j % 2);
    for (int i = 0; i < 32; ++i) out[32 * j + i] = scale * to_float(q[i] >> shift & 15) - minimum;
  }
}

void Q5_K::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block);
  const float m = load_f16(block + 2);
  const uint8_t* qh = block + 16;
  for (int j = 0; j < 8; ++j) {
    const ScaleAndMinimum part = scale_and_minimum(block + 4, j);
    const float scale = d * to_float(part.scale);
    const float minimum = m * to_float(part.minimum);
    const uint8_t* q = block + 48 + 32 * (j / 2);
    const int shift = 4 * (j % 2);
    for (int i = 0; i < 32; ++i) {
      const int value = (q[i] >> shift & 15) | (qh[i] >> j & 1) << 4;
      out[32 * j + i] = scale * to_float(value) - minimum;
    }
  }
}

void Q6_K::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load_f16(block + 208);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * to_float(static_cast<int8_t>(block[192 + j]));
    const int c = j / 8;
    const int k = j % 8 / 2;
    const uint8_t* ql = block + 64 * c + 16 * (j % 2) + 32 * (k % 2);
    const uint8_t* qh = block + 128 + 32 * c + 16 * (j % 2);
    const int low_shift = 4 * (k / 2);
    const int high_shift = 2 * k;
    for (int i = 0; i < 16; ++i) {
      const int value = (ql[i] >> low_shift & 15) | (qh[i] >> high_shift & 3) << 4;
      out[16 * j + i] = scale * to_float(value - 32);
    }
  }
}

void Q8_K::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  const float d = load<float>(block);
  for (int i = 0; i < 256; ++i) out[i] = d * to_float(static_cast<int8_t>(block[4 + i]));
}

}  // namespace duet::blocks
