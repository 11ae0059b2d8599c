#pragma once

#include <array>
#include <cstdint>

namespace duet::blocks {

// Blocks of E2M1 numbers (OCP MX 1.0). See legacy.h for the notation and the sources.

/// Twice the number of each E2M1 code. Code 8 is +0 and not -0, as in ggml.
inline constexpr std::array<int8_t, 16> kTwiceE2M1 = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// e@0, qs[16]@1: e8m0_half(e) kTwiceE2M1[nibble i].
struct MXFP4 {
  static constexpr int64_t kSize = 32, kBytes = 17;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d e4m3[4]@0, qs[32]@4: four parts of 16 values: ue4m3_half(d[p]) kTwiceE2M1[q]; the low nibbles of a part's 8 bytes
/// are its values 0-7, the high nibbles 8-15.
struct NVFP4 {
  static constexpr int64_t kSize = 64, kBytes = 36;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

}  // namespace duet::blocks
