// Probes of the level avx2. The loops are written out: a compiler would drop what nobody looks at.
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

/// 12 chains hide the latency of 5 cycles at two a cycle.
void fma(int64_t rounds) noexcept {
  asm volatile(
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n vxorps %%ymm\\i, %%ymm\\i, %%ymm\\i\n .endr\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n vfmadd231ps %%ymm12, %%ymm13, %%ymm\\i\n .endr\n"
      "dec %0\n jnz 1b\n"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "cc");
}

/// Four chains as the native kernels make them: eight products of pairs are added in 16 bits, then widened once.
void pairs(int64_t rounds) noexcept {
  asm volatile(
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14\n vpxor %%ymm\\i, %%ymm\\i, %%ymm\\i\n .endr\n"
      "1:\n"
      ".irp i,0,1,2,3\n vpmaddubsw %%ymm13, %%ymm12, %%ymm\\i\n .endr\n"
      ".rept 7\n"
      " vpmaddubsw %%ymm13, %%ymm12, %%ymm8\n vpmaddubsw %%ymm13, %%ymm12, %%ymm9\n"
      " vpmaddubsw %%ymm13, %%ymm12, %%ymm10\n vpmaddubsw %%ymm13, %%ymm12, %%ymm11\n"
      " vpaddw %%ymm8, %%ymm0, %%ymm0\n vpaddw %%ymm9, %%ymm1, %%ymm1\n"
      " vpaddw %%ymm10, %%ymm2, %%ymm2\n vpaddw %%ymm11, %%ymm3, %%ymm3\n"
      ".endr\n"
      ".irp i,0,1,2,3\n vpmaddwd %%ymm14, %%ymm\\i, %%ymm\\i\n .endr\n"
      "vpaddd %%ymm0, %%ymm4, %%ymm4\n vpaddd %%ymm1, %%ymm5, %%ymm5\n"
      "vpaddd %%ymm2, %%ymm6, %%ymm6\n vpaddd %%ymm3, %%ymm7, %%ymm7\n"
      "dec %0\n jnz 1b\n"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "cc");
}

}  // namespace

void fill_avx2_probes(CpuProbes& probes) noexcept {
  probes.read = read;
  probes.f32 = {"vfmadd231ps ymm", int64_t{12} * 8, fma};
  probes.int8 = {"vpmaddubsw, vpmaddwd ymm", int64_t{4} * 8 * 32, pairs};
}

}  // namespace duet
