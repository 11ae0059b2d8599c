#pragma once

#include <cstdint>

#include "tensor/integer_blocks.h"

namespace duet::blocks {

// Code-book quantisation. See legacy.h for the notation and the sources. g is a value of the code book's row that the
// block names (iq_grids.inc), with its sign. Signs of a group of 8: bit b negates value b; a 7-bit sign code c stands
// for the 8 bits whose bit 7 is the parity of c, so that the number of minus signs is even.

/// d@0, 8 x (idx[4], a u32)@2, one for each 32 values: d (0.5 + (a >> 28)) 0.25 g; group l of 8: row idx[l], sign code
/// (a >> 7l) & 127.
struct IQ2_XXS {
  static constexpr int64_t kSize = 256, kBytes = 66;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// d@0, q u16[32]@2, sc[8]@66; group k of 8: row q & 511, sign code q >> 9, s = nibble (k%4)/2 of sc[k/4]:
/// d (0.5 + s) 0.25 g.
struct IQ2_XS {
  static constexpr int64_t kSize = 256, kBytes = 74;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// d@0, qs[32]@2, sign[32]@34, qh[8]@66, sc[8]@74; group k of 8: row qs[k] + 256 (2 bits of qh[k/4] at 2 (k%4)), sign
/// bits sign[k]; scale as IQ2_XS.
struct IQ2_S {
  static constexpr int64_t kSize = 256, kBytes = 82;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// d@0, qs[64]@2, a u32[8]@66: groups of 4, row qs[k]; pairs of groups share a sign code of `a` as in IQ2_XXS:
/// d (0.5 + (a >> 28)) 0.5 g.
struct IQ3_XXS {
  static constexpr int64_t kSize = 256, kBytes = 98;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// d@0, qs[64]@2, qh[8]@66, sign[32]@74, sc[4]@106; group k of 4: row qs[k] + 256 (bit k%8 of qh[k/8]), signs nibble
/// k%2 of sign[k/2], s = nibble (k%16)/8 of sc[k/16]: d (1 + 2s) g.
struct IQ3_S {
  static constexpr int64_t kSize = 256, kBytes = 110;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// d@0, qs[32]@2, h u16[8]@34; group k of 8, w = h[k/4]: row qs[k] + 256 ((w >> 3(k%4)) & 7):
/// (d (2 ((w >> 12) & 7) + 1)) (g + delta), delta = -0.125 if bit 15 of w is set, else 0.125.
struct IQ1_S {
  static constexpr int64_t kSize = 256, kBytes = 50;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// qs[32]@0, qh[16]@32, w u16[4]@48; d = f16 of the top nibbles of w (that of w[0] lowest); group k of 8, n = nibble
/// k%2 of qh[k/2]: row qs[k] + 256 (n & 7), delta = -0.125 if n & 8, else 0.125; s = 3 bits of w[(k/2)/4] at 3
/// ((k/2)%4): (d (2s + 1)) (g + delta).
struct IQ1_M {
  static constexpr int64_t kSize = 256, kBytes = 56;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// d@0, qs[16]@2: d v[nibble i], v the 16 values of kIQ4Values.
struct IQ4_NL {
  static constexpr int64_t kSize = 32, kBytes = 18;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

/// d@0, sh u16@2, sl[4]@4, qs[128]@8: (d (s - 32)) v[q]; part b = i/32: s = nibble b%2 of sl[b/2] + 16 ((sh >> 2b) &
/// 3); nibbles as IQ4_NL in each 16 bytes.
struct IQ4_XS {
  static constexpr int64_t kSize = 256, kBytes = 136;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
  static void decode_integers(const uint8_t* __restrict block, IntegerBlock* __restrict out) noexcept;
};

}  // namespace duet::blocks
