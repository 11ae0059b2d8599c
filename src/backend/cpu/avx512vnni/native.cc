// The native arithmetic at the level avx512vnni: vpdpbusd multiplies unsigned weights by signed activations, four
// columns at a time, and adds them in 32 bits. The rest of the level is avx512.
#include "backend/cpu/kernels.h"

#include <immintrin.h>

#include <cstring>

namespace duet {
namespace {

#include "backend/cpu/avx512/lanes.inc"
#include "backend/cpu/codecs.inc"

constexpr int kUnrollWords = 8, kTileRows = 12, kDirectRows = 12, kCheapRows = 24;

/// The level's reading of NativeBlock. Unsigned weights are u = w + 128 (unless w has no sign to begin with), so that
/// sums of w q begin at -128 times the sum of q: `start` is that of all 32 and of the last 16.
struct Block {
  int8_t q[32];
  float scale;
  float sum;
  int32_t start[2];
};
inline void set_sums(Block& block, int first, int second) {
  block.start[0] = -128 * (first + second);
  block.start[1] = -128 * second;
}
inline int sum_of(const Block& block, int m) {
  return -((m == 1 ? block.start[1] : block.start[0] - block.start[1]) >> 7);
}

/// u = w + kUnsigned<Source>, where w is what the definition multiplies; a power of two or 0.
template <typename Source>
constexpr int kUnsigned = Source::kTop == 128     ? 128
                          : Source::kOffset == 12 ? 16
                                                  : Source::kOffset;

/// The words of a codec as u.
template <typename Source>
inline W make_unsigned(W words) {
  if constexpr (Source::kTop == 128) {
    return {_mm512_xor_si512(words.a, _mm512_set1_epi8(-128))};
  } else if constexpr (Source::kOffset == 12) {
    return {_mm512_add_epi8(words.a, _mm512_set1_epi8(4))};
  } else {
    return words;
  }
}

/// Expanded parts have u = w + 128 or, without an offset, u = w: a few forms for all types.
template <typename Kind>
using Stored = Form<255, Kind::kScales, Kind::kMinimums, kUnsigned<Kind> == 0 ? 0 : 128>;
template <typename Kind>
inline W stored(W words) {
  constexpr int kMore = kUnsigned<Kind> == 0 ? 0 : 128 - kUnsigned<Kind>;
  const W u = make_unsigned<Kind>(words);
  if constexpr (kMore == 0) return u;
  return {_mm512_add_epi8(u.a, _mm512_set1_epi8(kMore))};
}

inline __m512i broadcast(const int32_t& x) { return _mm512_set1_epi32(x); }

/// What the sums of a scale's columns begin at: -kUnsigned times the sum of q, exact.
template <typename Source>
inline __m512i start(const Block& x, int s) {
  if constexpr (kUnsigned<Source> == 0) {
    return _mm512_setzero_si512();
  } else {
    __m512i sum = broadcast(x.start[s]);
    if (Source::kScales == 2 && s == 0) sum = _mm512_sub_epi32(sum, broadcast(x.start[1]));
    constexpr int kShift = 7 - __builtin_ctz(kUnsigned<Source>);
    return kShift == 0 ? sum : _mm512_srai_epi32(sum, kShift);
  }
}

/// sum + u q over the four columns of each row.
inline __m512i add_dot(__m512i sum, __m512i u, const int8_t* q) {
#if defined(__AVX512VNNI__) && !defined(__clang__)  // g++ 12 broadcasts into a register first: two instructions for one
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(u), "m"(*reinterpret_cast<const int8_t(*)[4]>(q)));
  return sum;
#else
  int32_t word;
  std::memcpy(&word, q, sizeof word);
  return _mm512_dpbusd_epi32(sum, u, _mm512_set1_epi32(word));
#endif
}

template <typename Source, int kRows>
inline void add_products(const std::byte* group, int j, int s, const Block* x, W* sums) {
  constexpr int kWords = 8 / Source::kScales;
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) sums[r].a = start<Source>(x[r], s);
#pragma GCC unroll kUnrollWords
  for (int g = kWords * s; g < kWords * (s + 1); ++g) {
    const W u = make_unsigned<Source>(Source::words(group, j, g));
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) sums[r].a = add_dot(sums[r].a, u.a, x[r].q + 4 * g);
  }
}

#include "backend/cpu/avx512/native512.inc"

}  // namespace

void fill_avx512vnni_native(CpuKernels& table) noexcept { fill_native(table); }

}  // namespace duet
