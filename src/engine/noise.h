#pragma once

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

/// 53 uniform bits: Philox4x32-10 (Salmon et al. 2011) under the key `seed`, of the counter {position's low word, its
/// high word with the purpose in the top byte, `index`, choice}.   index: the token's id, or 0
uint64_t noise_bits(const NoisePlace& place, NoisePurpose purpose, uint32_t index);

/// The middle of one of 2^53 equal parts of (0, 1); neither end can come out.
inline double uniform_of(uint64_t bits) { return (static_cast<double>(bits) + 0.5) * 0x1p-53; }
/// Standard Gumbel noise of it, -log(-log(u)).
double gumbel_of(uint64_t bits);
/// No Gumbel noise of 53 bits is larger: u = 1 - 2^-54 gives 54 log 2 = 37.43.
inline constexpr double kMaxGumbel = 37.5;

}  // namespace duet
