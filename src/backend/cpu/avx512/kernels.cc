// The level avx512 (F, BW, DQ, VL): 16 lanes are one register.
#include "backend/cpu/kernels.h"

#include <immintrin.h>

namespace duet {
namespace {

struct V {
  __m512 a;
};
inline V load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, V v) { _mm512_storeu_ps(p, v.a); }
inline V set(float x) { return {_mm512_set1_ps(x)}; }
inline V add(V x, V y) { return {_mm512_add_ps(x.a, y.a)}; }
inline V sub(V x, V y) { return {_mm512_sub_ps(x.a, y.a)}; }
inline V mul(V x, V y) { return {_mm512_mul_ps(x.a, y.a)}; }
inline V div(V x, V y) { return {_mm512_div_ps(x.a, y.a)}; }
inline V min(V x, V y) { return {_mm512_min_ps(x.a, y.a)}; }
inline V max(V x, V y) { return {_mm512_max_ps(x.a, y.a)}; }
inline V chain(V x, V y, V sum) { return {_mm512_fmadd_ps(x.a, y.a, sum.a)}; }
inline V negative_abs(V x) { return {_mm512_or_ps(x.a, _mm512_set1_ps(-0.0f))}; }
inline V where_negative(V test, V yes, V no) {
  return {_mm512_mask_mov_ps(no.a, _mm512_movepi32_mask(_mm512_castps_si512(test.a)), yes.a)};
}
/// x * 2^n for |n| <= 252 as two exact powers: n is a whole number in float32.
inline V scale_by_power(V x, V n) {
  const __m512i whole = _mm512_cvtps_epi32(n.a);
  const __m512i half = _mm512_srai_epi32(whole, 1);
  const __m512i bias = _mm512_set1_epi32(127);
  const auto power = [&](__m512i e) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(e, bias), 23)); };
  return {_mm512_mul_ps(_mm512_mul_ps(x.a, power(half)), power(_mm512_sub_epi32(whole, half)))};
}
inline V nearest(V x) { return {_mm512_roundscale_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

#include "backend/cpu/bytes_x86.inc"

inline V from_u8(B b) { return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(b))}; }
inline V from_i8(B b) { return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b))}; }
inline V load_f16(const std::byte* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline V load_bf16(const std::byte* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

constexpr int kRowTile = 12;

#include "backend/cpu/level.inc"

}  // namespace

void fill_avx512_kernels(CpuKernels& table) noexcept { fill(table); }

}  // namespace duet
