// The native arithmetic at the level avx2: 8 rows of a panel are one register.
#include "backend/cpu/kernels.h"

#include <immintrin.h>

#include <cstring>

namespace duet {
namespace {

#include "backend/cpu/avx2/lanes.inc"

constexpr int kUnrollWords = 8, kParts = 2, kTileRows = 4, kDirectRows = 4;
/// Of types that take a shift and a mask at most to decode, and of those that take a shuffle more: expanding them does
/// not pay sooner (measured on Zen 3).
constexpr int kCheapRows = 32, kLookupRows = 12;
using H = __m256i;
using F = __m256;

inline H half(W w, int part) { return part == 0 ? w.a : w.b; }
inline F half(V v, int part) { return part == 0 ? v.a : v.b; }
inline F load_half(const float* p) { return _mm256_loadu_ps(p); }
inline void store_half(float* p, F v) { _mm256_storeu_ps(p, v); }
inline F set_all(float x) { return _mm256_set1_ps(x); }
inline F times(F x, F y) { return _mm256_mul_ps(x, y); }
inline F fused(F x, F y, F sum) { return _mm256_fmadd_ps(x, y, sum); }
inline F to_float(H sums) { return _mm256_cvtepi32_ps(sums); }

inline H broadcast_word(const void* p) {
  int32_t word;
  std::memcpy(&word, p, sizeof word);
  return _mm256_set1_epi32(word);
}
/// Sums of two products in 16 bits each. Signed integers: |w| and x with the sign of w; 128 is fine as unsigned.
template <int kTop>
inline H dot(H w, H x) {
  if constexpr (kTop == 128) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  } else {
    return _mm256_maddubs_epi16(w, x);
  }
}
/// Keeps a sum as it is written: g++ makes a tree of a chain of integer additions, for which it has no registers.
inline H in_order(H sum) {
  asm("" : "+x"(sum));
  return sum;
}
inline H add_pairs(H x, H y) { return in_order(_mm256_add_epi16(x, y)); }
inline H widen(H pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }
inline H add_sums(H x, H y) { return in_order(_mm256_add_epi32(x, y)); }
/// first * sums[0] + second * sums[1] in every lane.
inline H weigh_sums(const int16_t* sums, int first, int second) {
  const auto weights =
      static_cast<int>((static_cast<uint32_t>(second) << 16) | (static_cast<uint32_t>(first) & 0xFFFF));
  return _mm256_madd_epi16(broadcast_word(sums), _mm256_set1_epi32(weights));
}

/// The same with weights of each lane's own, a pair in 16 bits each.
inline H weigh_sums(const int16_t* sums, H weights) { return _mm256_madd_epi16(broadcast_word(sums), weights); }

inline int largest(H x) {
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1));
  return _mm_cvtsi128_si32(m);
}
inline int total(__m128i x) {
  x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
}

/// Magnitudes are compared as integers: not finite is above all others.
void native_round(const float* x, int64_t blocks, int64_t stride, NativeBlock* out) noexcept {
  for (int64_t b = 0; b < blocks; ++b, x += 32, out += stride) {
    F v[4];
    H magnitude = _mm256_setzero_si256();
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_loadu_ps(x + 8 * i);
      magnitude =
          _mm256_max_epi32(magnitude, _mm256_and_si256(_mm256_castps_si256(v[i]), _mm256_set1_epi32(INT32_MAX)));
    }
    const int bits = largest(magnitude);
    NativeBlock block = {};
    if (bits >= 0x7F800000) {
      block.scale = block.sum = __builtin_nanf("");
    } else if (bits >= 0x0D800000) {  // 2^-100: 127 / top stays finite
      float top;
      std::memcpy(&top, &bits, sizeof top);
      block.scale = top / 127.0f;
      const F inverse = _mm256_set1_ps(127.0f / top);
      H q[4];
      for (int i = 0; i < 4; ++i) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));  // nearest, ties to even
      const H low = _mm256_packs_epi32(q[0], q[1]), high = _mm256_packs_epi32(q[2], q[3]);
      const H order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
      const H bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.q), bytes);
      const H sums = widen(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes));
      const int first = total(_mm256_castsi256_si128(sums)), second = total(_mm256_extracti128_si256(sums, 1));
      block.sums[0] = static_cast<int16_t>(first);
      block.sums[1] = static_cast<int16_t>(second);
      block.sum = block.scale * static_cast<float>(first + second);
    }
    *out = block;
  }
}

#include "backend/cpu/codecs.inc"
#include "backend/cpu/native.inc"

}  // namespace

void fill_avx2_native(CpuKernels& table) noexcept { fill_native(table); }

}  // namespace duet
