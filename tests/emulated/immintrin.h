// Stands before the compiler's <immintrin.h> when kernels are compiled for the tests: the intrinsics of AVX-512 in
// portable C++, by SIMDe, and here what it lacks or does otherwise. Slow, and right on any machine.
#pragma once
#pragma GCC system_header  // no warnings from here

#define SIMDE_ENABLE_NATIVE_ALIASES
#define SIMDE_NO_INLINE  // thousands of copies would take minutes to compile
#include <cmath>
#include <cstdint>
#include <cstring>

#include <simde/x86/avx512.h>

#if !defined(_MM_FROUND_NO_EXC)
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
#endif
#define __mmask64 simde__mmask64
#undef _mm512_madd_epi16  // a mistake of SIMDe 0.7.4: four arguments
#define _mm512_madd_epi16(x, y) simde_mm512_madd_epi16(x, y)

/// out[i] = f(in[i]) for the elements of two vectors.
template <typename Out, typename To, typename From, typename In, typename F>
__attribute__((always_inline)) static inline Out emulate(const In& in, F f) {
  From from[sizeof(In) / sizeof(From)];
  To to[sizeof(Out) / sizeof(To)];
  static_assert(sizeof from / sizeof(From) == sizeof to / sizeof(To));
  std::memcpy(from, &in, sizeof in);
  for (size_t i = 0; i < sizeof from / sizeof(From); ++i) to[i] = f(from[i]);
  Out out;
  std::memcpy(&out, to, sizeof out);
  return out;
}
template <typename F>
static inline int32_t emulate_reduction(const simde__m512i& in, F f) {
  int32_t x[16];
  std::memcpy(x, &in, sizeof in);
  for (int i = 1; i < 16; ++i) x[0] = f(x[0], x[i]);
  return x[0];
}

#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps emulated_fmadd_ps  // SIMDe's rounds twice
__attribute__((noinline)) static simde__m512 _mm512_fmadd_ps(simde__m512 x, simde__m512 y, simde__m512 z) {
  float a[16], b[16], c[16];
  std::memcpy(a, &x, sizeof x);
  std::memcpy(b, &y, sizeof y);
  std::memcpy(c, &z, sizeof z);
  for (int i = 0; i < 16; ++i) c[i] = std::fma(a[i], b[i], c[i]);
  simde__m512 out;
  std::memcpy(&out, c, sizeof out);
  return out;
}
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32 emulated_dpbusd_epi32  // SIMDe's is slow
__attribute__((noinline)) static simde__m512i _mm512_dpbusd_epi32(simde__m512i sum, simde__m512i u, simde__m512i q) {
  uint8_t a[64];
  int8_t b[64];
  int32_t c[16];
  std::memcpy(a, &u, sizeof u);
  std::memcpy(b, &q, sizeof q);
  std::memcpy(c, &sum, sizeof sum);
  for (int i = 0; i < 16; ++i) {
    for (int k = 4 * i; k < 4 * i + 4; ++k) c[i] += a[k] * b[k];
  }
  simde__m512i out;
  std::memcpy(&out, c, sizeof out);
  return out;
}

#define _mm512_cvtepi32_epi8 emulated_cvtepi32_epi8
static simde__m128i _mm512_cvtepi32_epi8(simde__m512i x) {
  return emulate<simde__m128i, int8_t, int32_t>(x, [](int32_t v) { return static_cast<int8_t>(v); });
}
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
static simde__m512 _mm512_cvtepi32_ps(simde__m512i x) {
  return emulate<simde__m512, float, int32_t>(x, [](int32_t v) { return static_cast<float>(v); });
}
#define _mm512_cvtepi8_epi32 emulated_cvtepi8_epi32
static simde__m512i _mm512_cvtepi8_epi32(simde__m128i x) {
  return emulate<simde__m512i, int32_t, int8_t>(x, [](int8_t v) { return static_cast<int32_t>(v); });
}
#define _mm512_cvtepu8_epi32 emulated_cvtepu8_epi32
static simde__m512i _mm512_cvtepu8_epi32(simde__m128i x) {
  return emulate<simde__m512i, int32_t, uint8_t>(x, [](uint8_t v) { return static_cast<int32_t>(v); });
}
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
static simde__m512i _mm512_cvtepu16_epi32(simde__m256i x) {
  return emulate<simde__m512i, int32_t, uint16_t>(x, [](uint16_t v) { return static_cast<int32_t>(v); });
}
/// The rounding mode's nearest; what no int32 holds becomes the smallest one.
#define _mm512_cvtps_epi32 emulated_cvtps_epi32
static simde__m512i _mm512_cvtps_epi32(simde__m512 x) {
  return emulate<simde__m512i, int32_t, float>(
      x, [](float v) { return v >= -0x1p31f && v < 0x1p31f ? static_cast<int32_t>(std::nearbyint(v)) : INT32_MIN; });
}
#define _mm512_cvtph_ps emulated_cvtph_ps
static simde__m512 _mm512_cvtph_ps(simde__m256i x) {
  return emulate<simde__m512, float, uint16_t>(x, [](uint16_t v) {
    const uint32_t sign = (v & 0x8000U) << 16, exponent = v >> 10 & 31, fraction = v & 1023;
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
    if (exponent == 31) bits = sign | 0x7F800000U | (fraction != 0 ? 0x400000U | fraction << 13 : 0U);  // NaN: quiet
    float out;
    std::memcpy(&out, &bits, sizeof out);
    if (exponent == 0) out = std::copysign(static_cast<float>(fraction) * 0x1p-24f, sign != 0 ? -1.0f : 1.0f);
    return out;
  });
}
#define _mm512_srai_epi32 emulated_srai_epi32
static simde__m512i _mm512_srai_epi32(simde__m512i x, unsigned n) {
  return emulate<simde__m512i, int32_t, int32_t>(x, [n](int32_t v) { return v >> (n > 31 ? 31 : n); });
}
#define _mm512_reduce_add_epi32 emulated_reduce_add_epi32
static int32_t _mm512_reduce_add_epi32(simde__m512i x) {
  return emulate_reduction(x, [](int32_t a, int32_t b) { return a + b; });
}
#define _mm512_reduce_max_epi32 emulated_reduce_max_epi32
static int32_t _mm512_reduce_max_epi32(simde__m512i x) {
  return emulate_reduction(x, [](int32_t a, int32_t b) { return a > b ? a : b; });
}
