// Probes of the level avx2.
#include "backend/cpu/probe.h"

#include <immintrin.h>

namespace duet {
namespace {

template <int64_t kStreams>
uint64_t read(const std::byte* data, int64_t bytes, int64_t ahead_bytes) noexcept {
  __m256i sums[4] = {};
  const int64_t part = bytes / kStreams;
  for (int64_t at = 0; at < part; at += kLinesAtOnce / kStreams * 64) {
    for (int i = 0; i < kLinesAtOnce; ++i) {
      const std::byte* const line = data + line_of_round<kStreams>(i, at, part);
      _mm_prefetch(reinterpret_cast<const char*>(line + ahead_bytes), _MM_HINT_T0);
      for (int half = 0; half < 2; ++half) {
        const __m256i some = _mm256_load_si256(reinterpret_cast<const __m256i*>(line + half * 32));
        sums[2 * (i % 2) + half] = _mm256_add_epi64(sums[2 * (i % 2) + half], some);
      }
    }
  }
  const __m256i all = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), all);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

#define DUET_LANES "ymm"
#include "backend/cpu/peak_loops.inc"

DUET_PEAK_LOOP(fma, "vfmadd231ps")

}  // namespace

void fill_avx2_probes(CpuProbes& probes) noexcept {
  probes.read = read<1>;
  probes.read_side_by_side = read<kReadStreams>;
  probes.f32 = {"vfmadd231ps ymm", int64_t{12} * 8, fma};
  probes.int8 = {"vpmaddubsw, vpmaddwd ymm", int64_t{4} * 8 * 32, pairs};
}

}  // namespace duet
