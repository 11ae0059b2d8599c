#include "tensor/blocks/fp4.h"

#include "tensor/blocks/scalars.h"

namespace duet::blocks {
namespace {

float twice_e2m1(int code) noexcept { return to_float(kTwiceE2M1[static_cast<size_t>(code)]); }

/// The low nibbles of `count` bytes, then the high ones.
void decode_nibbles(float d, const uint8_t* __restrict qs, int count, float* __restrict out) noexcept {
  for (int i = 0; i < count; ++i) {
    out[i] = d * twice_e2m1(low(qs[i]));
    out[i + count] = d * twice_e2m1(high(qs[i]));
  }
}

}  // namespace

void MXFP4::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  decode_nibbles(e8m0_half(block[0]), block + 1, 16, out);
}

void NVFP4::decode(const uint8_t* __restrict block, float* __restrict out) noexcept {
  for (int p = 0; p < 4; ++p) decode_nibbles(ue4m3_half(block[p]), block + 4 + 8 * p, 8, out + 16 * p);
}

}  // namespace duet::blocks
