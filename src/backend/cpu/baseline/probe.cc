// Probes of the level baseline: plain C++ with vectors of 16 bytes.
#include "backend/cpu/probe.h"

#include <cstring>

namespace duet {
namespace {

using F4 = float __attribute__((vector_size(16)));
using S8 = int16_t __attribute__((vector_size(16)));
using L2 = uint64_t __attribute__((vector_size(16)));
constexpr int kChains = 8;  // enough to hide the latencies of a product and a sum

template <int64_t kStreams>
uint64_t read(const std::byte* data, int64_t bytes, int64_t ahead_bytes) noexcept {
  L2 sums[4] = {};
  const int64_t part = bytes / kStreams;
  for (int64_t at = 0; at < part; at += kLinesAtOnce / kStreams * 64) {
    for (int i = 0; i < kLinesAtOnce; ++i) {
      const std::byte* const from = data + line_of_round<kStreams>(i, at, part);
      __builtin_prefetch(from + ahead_bytes);
      L2 line[4];
      std::memcpy(line, from, sizeof line);
      for (int j = 0; j < 4; ++j) sums[j] += line[j];
    }
  }
  const L2 all = sums[0] + sums[1] + sums[2] + sums[3];
  return all[0] + all[1];
}

/// Each chain is sum = sum * x + y: that the compiler can neither shorten nor drop, as it does not know x and y.
template <typename Vector, typename Number>
void multiply_add(int64_t rounds) noexcept {
  static volatile Number unknown = 0;
  const Vector x = Vector{} + static_cast<Number>(unknown), y = Vector{} + static_cast<Number>(unknown);
  Vector sums[kChains] = {};
  for (int64_t round = 0; round < rounds; ++round) {
    for (auto& sum : sums) sum = sum * x + y;
  }
  Vector all = {};
  for (const auto& sum : sums) all += sum;
  unknown = all[0];
}

}  // namespace

void fill_baseline_probes(CpuProbes& probes) noexcept {
  probes.read = read<1>;
  probes.read_side_by_side = read<kReadStreams>;
  probes.f32 = {"product and sum of 4 lanes", kChains * 4, multiply_add<F4, float>};
  probes.int8 = {"product and sum of 8 lanes of 16 bits", kChains * 8, multiply_add<S8, int16_t>};
}

}  // namespace duet
