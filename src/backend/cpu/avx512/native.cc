// The native arithmetic at the level avx512: products of bytes are added in 16 bits, as avx2 does, 16 rows in a
// register.
#include "backend/cpu/kernels.h"

#include <immintrin.h>

#include <cstring>

namespace duet {
namespace {

#include "backend/cpu/avx512/lanes.inc"
#include "backend/cpu/codecs.inc"

constexpr int kUnrollWords = 8, kTileRows = 6, kDirectRows = 6, kCheapRows = 0;
using Block = NativeBlock;
inline void set_sums(Block& block, int first, int second) {
  block.sums[0] = static_cast<int16_t>(first);
  block.sums[1] = static_cast<int16_t>(second);
}
inline int sum_of(const Block& block, int m) { return block.sums[m]; }

template <typename Kind>
using Stored = Kind;
template <typename Kind>
inline W stored(W words) {
  return words;
}

inline __m512i broadcast_word(const void* p) {
  int32_t word;
  std::memcpy(&word, p, sizeof word);
  return _mm512_set1_epi32(word);
}
/// Keeps a sum as it is written: g++ makes a tree of a chain of integer additions, for which it has no registers.
inline __m512i in_order(__m512i sum) {
#if defined(__AVX512BW__)  // not where tests emulate it
  asm("" : "+v"(sum));
#endif
  return sum;
}

/// Products of two columns are added in 16 bits, kFlush of them before they would pass 32,767 (2 * 127 * kTop each;
/// 2 * 127 * 128 where the integers are signed: |w| times q with the sign of w), then in 32. The offset of the integers
/// is taken off through the exact sum of q.
template <typename Source, int kRows>
inline void add_products(const std::byte* group, int j, int s, const Block* x, W* sums) {
  constexpr int kWords = 8 / Source::kScales;
  constexpr int kFlush = Source::kTop == 15 ? kWords : Source::kTop == 31 ? 4 : Source::kTop == 63 ? 2 : 1;
  constexpr bool kSigned = Source::kTop == 128;
#pragma GCC unroll kUnrollWords
  for (int f = 0; f < kWords; f += kFlush) {
    __m512i pairs[kRows];
#pragma GCC unroll kUnrollWords
    for (int g = 0; g < kFlush; ++g) {
      const int word = kWords * s + f + g;
      const __m512i w = Source::words(group, j, word).a;
      const __m512i size = kSigned ? _mm512_abs_epi8(w) : w;
      const __mmask64 negative = kSigned ? _mm512_movepi8_mask(w) : 0;
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        __m512i q = broadcast_word(x[r].q + 4 * word);
        if constexpr (kSigned) q = _mm512_mask_sub_epi8(q, negative, _mm512_setzero_si512(), q);
        const __m512i product = _mm512_maddubs_epi16(size, q);
        pairs[r] = g == 0 ? product : in_order(_mm512_add_epi16(pairs[r], product));
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const __m512i sum = _mm512_madd_epi16(pairs[r], _mm512_set1_epi16(1));
      sums[r].a = f == 0 ? sum : in_order(_mm512_add_epi32(sums[r].a, sum));
    }
  }
  if constexpr (Source::kOffset != 0) {
    constexpr int kFirst = Source::kScales == 1 ? 1 : 0;
    const int first = s == 0 ? -Source::kOffset : 0, second = s == 1 || kFirst == 1 ? -Source::kOffset : 0;
    const auto weights =
        static_cast<int>((static_cast<uint32_t>(second) << 16) | (static_cast<uint32_t>(first) & 0xFFFF));
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const __m512i offset = _mm512_madd_epi16(broadcast_word(x[r].sums), _mm512_set1_epi32(weights));
      sums[r].a = in_order(_mm512_add_epi32(sums[r].a, offset));
    }
  }
}

#include "backend/cpu/avx512/native512.inc"

}  // namespace

void fill_avx512_native(CpuKernels& table) noexcept { fill_native(table); }

}  // namespace duet
