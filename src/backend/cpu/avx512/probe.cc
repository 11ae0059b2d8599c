// Probes of the level avx512 and of its extensions. The loops are written out, as in avx2/probe.cc.
#include "backend/cpu/probe.h"

#include <immintrin.h>

namespace duet {
namespace {

uint64_t read(const std::byte* data, int64_t bytes, int64_t ahead_bytes) noexcept {
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  for (const std::byte* const end = data + bytes; data != end; data += 512) {
    for (int i = 0; i < 8; ++i) {
      _mm_prefetch(reinterpret_cast<const char*>(data + ahead_bytes + i * 64), _MM_HINT_T0);
      sums[i % 4] = _mm512_add_epi64(sums[i % 4], _mm512_load_si512(data + i * 64));
    }
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, all);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

// 12 chains of one instruction hide a latency of 5 cycles at two a cycle. The assembler knows all of them, whatever the
// compiler's options.
void fma(int64_t rounds) noexcept {
  asm volatile(
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n vpxord %%zmm\\i, %%zmm\\i, %%zmm\\i\n .endr\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n vfmadd231ps %%zmm12, %%zmm13, %%zmm\\i\n .endr\n"
      "dec %0\n jnz 1b\n"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "cc");
}

void vnni(int64_t rounds) noexcept {
  asm volatile(
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n vpxord %%zmm\\i, %%zmm\\i, %%zmm\\i\n .endr\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n vpdpbusd %%zmm12, %%zmm13, %%zmm\\i\n .endr\n"
      "dec %0\n jnz 1b\n"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "cc");
}

void bf16_dot(int64_t rounds) noexcept {
  asm volatile(
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n vpxord %%zmm\\i, %%zmm\\i, %%zmm\\i\n .endr\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n vdpbf16ps %%zmm12, %%zmm13, %%zmm\\i\n .endr\n"
      "dec %0\n jnz 1b\n"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "cc");
}

/// As avx2/probe.cc has it, for a CPU with AVX-512 and without VNNI.
void pairs(int64_t rounds) noexcept {
  asm volatile(
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14\n vpxord %%zmm\\i, %%zmm\\i, %%zmm\\i\n .endr\n"
      "1:\n"
      ".irp i,0,1,2,3\n vpmaddubsw %%zmm13, %%zmm12, %%zmm\\i\n .endr\n"
      ".rept 7\n"
      " vpmaddubsw %%zmm13, %%zmm12, %%zmm8\n vpmaddubsw %%zmm13, %%zmm12, %%zmm9\n"
      " vpmaddubsw %%zmm13, %%zmm12, %%zmm10\n vpmaddubsw %%zmm13, %%zmm12, %%zmm11\n"
      " vpaddw %%zmm8, %%zmm0, %%zmm0\n vpaddw %%zmm9, %%zmm1, %%zmm1\n"
      " vpaddw %%zmm10, %%zmm2, %%zmm2\n vpaddw %%zmm11, %%zmm3, %%zmm3\n"
      ".endr\n"
      ".irp i,0,1,2,3\n vpmaddwd %%zmm14, %%zmm\\i, %%zmm\\i\n .endr\n"
      "vpaddd %%zmm0, %%zmm4, %%zmm4\n vpaddd %%zmm1, %%zmm5, %%zmm5\n"
      "vpaddd %%zmm2, %%zmm6, %%zmm6\n vpaddd %%zmm3, %%zmm7, %%zmm7\n"
      "dec %0\n jnz 1b\n"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "cc");
}

}  // namespace

void fill_avx512_probes(CpuProbes& probes, bool has_vnni, bool has_bf16) noexcept {
  probes.read = read;
  probes.f32 = {"vfmadd231ps zmm", int64_t{12} * 16, fma};
  probes.int8 = {"vpmaddubsw, vpmaddwd zmm", int64_t{4} * 8 * 64, pairs};
  if (has_vnni) probes.int8 = {"vpdpbusd zmm", int64_t{12} * 64, vnni};
  if (has_bf16) probes.bf16 = {"vdpbf16ps zmm", int64_t{12} * 32, bf16_dot};
}

}  // namespace duet
