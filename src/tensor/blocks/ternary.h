#pragma once

#include <cstdint>

namespace duet::blocks {

// Super-blocks of 256 values of -1, 0 or 1 times one f16 scale d. See legacy.h for the notation and the sources.

/// qs[48]@0, qh[4]@48, d@52: d (t - 1), t = digit n (base 3) of a byte x, which holds 5 digits as the fraction x / 256:
/// t_n(x) = (((x 3^n) & 255) 3) >> 8. Order: n = 0..4 over qs[0:32], n = 0..4 over qs[32:48], n = 0..3 over qh.
struct TQ1_0 {
  static constexpr int64_t kSize = 256, kBytes = 54;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// qs[64]@0, d@64: d (q - 1), q = 2 bits of qs[32 (i/128) + i%32] at 2 ((i%128)/32); q = 3 is legal and gives 2 d.
struct TQ2_0 {
  static constexpr int64_t kSize = 256, kBytes = 66;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

}  // namespace duet::blocks
