#pragma once

#include <cstdint>

namespace duet::blocks {

// Super-blocks of 256 values with scales of their parts. See legacy.h for the notation and the sources; lo and hi are
// the nibbles of a byte, d and m are f16 unless said otherwise.

/// sc[16]@0, qs[64]@16, d@80, m@82: (d lo(sc[i/16])) q - m hi(sc[i/16]), q = 2 bits of qs[32 (i/128) + i%32] at
/// 2 ((i%128)/32).
struct Q2_K {
  static constexpr int64_t kSize = 256, kBytes = 84;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// hm[32]@0, qs[64]@32, sc[12]@96, d@108: (d (s_j - 32)) (q - (bit i/32 of hm[i%32] ? 0 : 4)), q as Q2_K, j = i/16,
/// s_j = nibble j/8 of sc[j%8] + 16 (2 bits of sc[8 + j%4] at 2 (j/4)).
struct Q3_K {
  static constexpr int64_t kSize = 256, kBytes = 110;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, m@2, sc[12]@4, qs[128]@16: (d s_j) q - m n_j, j = i/32, q = lo (j even) or hi (j odd) of qs[32 (i/64) + i%32].
/// Scales: j < 4: s = sc[j] & 63, n = sc[j+4] & 63; else s = lo(sc[j+4]) + 16 (sc[j-4] >> 6),
/// n = hi(sc[j+4]) + 16 (sc[j] >> 6).
struct Q4_K {
  static constexpr int64_t kSize = 256, kBytes = 144;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, m@2, sc[12]@4, qh[32]@16, qs[128]@48: as Q4_K with q + 16 (bit j of qh[i%32]).
struct Q5_K {
  static constexpr int64_t kSize = 256, kBytes = 176;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// ql[128]@0, qh[64]@128, sc i8[16]@192, d@208: (d sc[i/16]) (q - 32); c = i/128, l = i%32, k = (i%128)/32:
/// q = nibble k/2 of ql[64c + l + 32 (k%2)] + 16 (2 bits of qh[32c + l] at 2k).
struct Q6_K {
  static constexpr int64_t kSize = 256, kBytes = 210;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d f32@0, q i8[256]@4, sums i16[16]@260 (not needed here): d q. A type of activations.
struct Q8_K {
  static constexpr int64_t kSize = 256, kBytes = 292;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// Scale s and minimum n of part j (0-7) of a Q4_K or Q5_K block, `sc` its 12 bytes of scales. Both in 0-63.
struct ScaleAndMinimum {
  int scale;
  int minimum;
};
inline ScaleAndMinimum scale_and_minimum(const uint8_t* sc, int j) noexcept {
  if (j < 4) return {sc[j] & 63, sc[j + 4] & 63};
  return {(sc[j + 4] & 15) | (sc[j - 4] >> 6) << 4, (sc[j + 4] >> 4) | (sc[j] >> 6) << 4};
}

}  // namespace duet::blocks
