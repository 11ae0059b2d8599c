// Probes of the level avx512 and of its extensions.
#include "backend/cpu/probe.h"

#include <immintrin.h>

namespace duet {
namespace {

template <int64_t kStreams>
uint64_t read(const std::byte* data, int64_t bytes, int64_t ahead_bytes) noexcept {
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  const int64_t part = bytes / kStreams;
  for (int64_t at = 0; at < part; at += kLinesAtOnce / kStreams * 64) {
    for (int i = 0; i < kLinesAtOnce; ++i) {
      const std::byte* const line = data + line_of_round<kStreams>(i, at, part);
      _mm_prefetch(reinterpret_cast<const char*>(line + ahead_bytes), _MM_HINT_T0);
      sums[i % 4] = _mm512_add_epi64(sums[i % 4], _mm512_load_si512(line));
    }
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, all);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

#define DUET_LANES "zmm"
#include "backend/cpu/peak_loops.inc"

DUET_PEAK_LOOP(fma, "vfmadd231ps")
DUET_PEAK_LOOP(vnni, "vpdpbusd")
DUET_PEAK_LOOP(bf16_dot, "vdpbf16ps")

}  // namespace

void fill_avx512_probes(CpuProbes& probes, bool has_vnni, bool has_bf16) noexcept {
  probes.read = read<1>;
  probes.read_side_by_side = read<kReadStreams>;
  probes.f32 = {"vfmadd231ps zmm", int64_t{12} * 16, fma};
  probes.int8 = {"vpmaddubsw, vpmaddwd zmm", int64_t{4} * 8 * 64, pairs};
  if (has_vnni) probes.int8 = {"vpdpbusd zmm", int64_t{12} * 64, vnni};
  if (has_bf16) probes.bf16 = {"vdpbf16ps zmm", int64_t{12} * 32, bf16_dot};
}

}  // namespace duet
