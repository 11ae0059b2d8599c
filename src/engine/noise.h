#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/ids.h"

namespace duet {

/// Where a draw belongs. The same place gives the same noise, whatever was drawn before it.
struct NoisePlace {
  uint64_t seed = 0;
  int32_t choice = 0;
  int64_t position = 0;  // below 2^56
};
/// What a draw decides. A token's noise is purpose 0.
enum class NoisePurpose : uint32_t { kToken = 0, kXtc = 1 };

/// 53 uniform bits: Philox4x32-10 (a bijection of a 128-bit counter under a 64-bit key; constants from Salmon et al.
/// 2011, table 2) under the key `seed`, of the counter {position's low word, its high word with the purpose in the top
/// byte, `index`, choice}.   index: the token's id, or 0
inline uint64_t noise_bits(const NoisePlace& place, NoisePurpose purpose, uint32_t index) {
  const auto wide = static_cast<uint64_t>(place.position);
  uint32_t c0 = static_cast<uint32_t>(wide), c1 = static_cast<uint32_t>(wide >> 32), c2 = index;
  uint32_t c3 = static_cast<uint32_t>(place.choice);
  uint32_t k0 = static_cast<uint32_t>(place.seed), k1 = static_cast<uint32_t>(place.seed >> 32);
  c1 ^= static_cast<uint32_t>(purpose) << 24;
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c0, b = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(b);
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return ((uint64_t{c0} << 21) ^ (uint64_t{c1} >> 11)) & ((uint64_t{1} << 53) - 1);
}

/// The middle of one of 2^53 equal parts of (0, 1), rounded; neither end comes out.
inline double uniform_of(uint64_t bits) {
  return std::min((static_cast<double>(bits) + 0.5) * 0x1p-53, 0x1.fffffffffffffp-1);
}
/// Standard Gumbel noise of it, -log(-log(u)).
inline double gumbel_of(uint64_t bits) { return -std::log(-std::log(uniform_of(bits))); }
/// No Gumbel noise of 53 bits is larger or smaller: u = 1 - 2^-53 gives 53 log 2 = 36.74, u = 2^-54 gives -log 37.43.
inline constexpr double kMaxGumbel = 36.75, kMinGumbel = -3.63;

}  // namespace duet
