#include "engine/noise.h"

#include <array>
#include <cmath>

namespace duet {
namespace {

/// A bijection of a 128-bit counter under a 64-bit key; constants from Salmon et al. 2011, table 2.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t seed) {
  std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

}  // namespace

uint64_t noise_bits(const NoisePlace& place, NoisePurpose purpose, uint32_t index) {
  const auto wide = static_cast<uint64_t>(place.position);
  const auto bits =
      philox({static_cast<uint32_t>(wide), static_cast<uint32_t>(wide >> 32) ^ (static_cast<uint32_t>(purpose) << 24),
              index, static_cast<uint32_t>(place.choice)},
             place.seed);
  const uint64_t mixed = (uint64_t{bits[0]} << 21) ^ (uint64_t{bits[1]} >> 11);
  return mixed & ((uint64_t{1} << 53) - 1);
}

double gumbel_of(uint64_t bits) { return -std::log(-std::log(uniform_of(bits))); }

}  // namespace duet
