// Probes of the level avx2.
#include "backend/cpu/probe.h"

#include <immintrin.h>

namespace duet {
namespace {

uint64_t read(const std::byte* data, int64_t bytes, int64_t ahead_bytes) noexcept {
  __m256i sums[4] = {};
  for (const std::byte* const end = data + bytes; data != end; data += 256) {
    for (int line = 0; line < 4; ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(data + ahead_bytes + line * 64), _MM_HINT_T0);
    }
    for (int i = 0; i < 8; ++i) {
      const __m256i part = _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i * 32));
      sums[i % 4] = _mm256_add_epi64(sums[i % 4], part);
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
  probes.read = read;
  probes.f32 = {"vfmadd231ps ymm", int64_t{12} * 8, fma};
  probes.int8 = {"vpmaddubsw, vpmaddwd ymm", int64_t{4} * 8 * 32, pairs};
}

}  // namespace duet
