// The level baseline: plain C++ with vectors of 4 floats (SSE2, NEON). Multiplies and adds separately: its own bits.
#include "backend/cpu/kernels.h"

#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#include <xmmintrin.h>
#endif

namespace duet {
namespace {

using F4 = float __attribute__((vector_size(16)));
using I4 = int32_t __attribute__((vector_size(16)));

struct V {
  F4 a[4];
};

template <typename F>
inline V each(F f) {
  return {{f(0), f(1), f(2), f(3)}};
}
template <typename To, typename From>
inline To bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline F4 load4(const float* p) {
  F4 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline F4 select(I4 mask, F4 yes, F4 no) { return bits<F4>((bits<I4>(yes) & mask) | (bits<I4>(no) & ~mask)); }

inline V load(const float* p) {
  return each([&](int i) { return load4(p + 4 * i); });
}
inline void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
inline V set(float x) {
  const F4 v = {x, x, x, x};
  return {{v, v, v, v}};
}
inline V add(V x, V y) {
  return each([&](int i) { return x.a[i] + y.a[i]; });
}
inline V sub(V x, V y) {
  return each([&](int i) { return x.a[i] - y.a[i]; });
}
inline V mul(V x, V y) {
  return each([&](int i) { return x.a[i] * y.a[i]; });
}
inline V div(V x, V y) {
  return each([&](int i) { return x.a[i] / y.a[i]; });
}
inline V min(V x, V y) {  // y where one is NaN, as minps
  return each([&](int i) { return select(x.a[i] < y.a[i], x.a[i], y.a[i]); });
}
inline V max(V x, V y) {
  return each([&](int i) { return select(x.a[i] > y.a[i], x.a[i], y.a[i]); });
}
inline V chain(V x, V y, V sum) {
  return each([&](int i) { return x.a[i] * y.a[i] + sum.a[i]; });
}
inline V negative_abs(V x) {
  return each([&](int i) { return bits<F4>(bits<I4>(x.a[i]) | INT32_MIN); });
}
inline V where_negative(V test, V yes, V no) {
  return each([&](int i) { return select(bits<I4>(test.a[i]) < 0, yes.a[i], no.a[i]); });
}
/// x * 2^n for |n| <= 252 as two exact powers: n is a whole number in float32.
inline V scale_by_power(V x, V n) {
  return each([&](int i) {
    const I4 whole = __builtin_convertvector(n.a[i], I4);
    const I4 half = whole >> 1;
    return x.a[i] * bits<F4>((half + 127) << 23) * bits<F4>((whole - half + 127) << 23);
  });
}
/// For |x| < 2^22, NaN kept.
inline V nearest(V x) {
  const V big = set(12582912.0f);  // 1.5 * 2^23: the sum has no bits below 1
  return sub(add(x, big), big);
}

using B = uint8_t __attribute__((vector_size(16)));
inline B load_bytes(const std::byte* p) {
  B b;
  std::memcpy(&b, p, sizeof b);
  return b;
}
inline B set_bytes(int x) { return B{} + static_cast<uint8_t>(x); }
inline B bit_and(B x, B y) { return x & y; }
inline B bit_or(B x, B y) { return x | y; }
inline B byte_sub(B x, B y) { return x - y; }

#if defined(__x86_64__)
inline B shift_right(B x, int n) { return reinterpret_cast<B>(_mm_srli_epi16(reinterpret_cast<__m128i>(x), n)); }
inline B shift_left(B x, int n) { return reinterpret_cast<B>(_mm_slli_epi16(reinterpret_cast<__m128i>(x), n)); }
/// Bytes in the top of 32 bits each, shifted down with `shift32`.
template <typename Shift>
inline V widen(B b, Shift shift32) {
  const __m128i x = reinterpret_cast<__m128i>(b);
  const __m128i zero = _mm_setzero_si128();
  const __m128i low = _mm_unpacklo_epi8(zero, x), high = _mm_unpackhi_epi8(zero, x);
  const auto convert = [&](__m128i v) { return reinterpret_cast<F4>(_mm_cvtepi32_ps(shift32(v))); };
  return {{convert(_mm_unpacklo_epi16(zero, low)), convert(_mm_unpackhi_epi16(zero, low)),
           convert(_mm_unpacklo_epi16(zero, high)), convert(_mm_unpackhi_epi16(zero, high))}};
}
inline V from_u8(B b) {
  return widen(b, [](__m128i v) { return _mm_srli_epi32(v, 24); });
}
inline V from_i8(B b) {
  return widen(b, [](__m128i v) { return _mm_srai_epi32(v, 24); });
}
#else
inline B shift_right(B x, int n) { return x >> static_cast<uint8_t>(n); }
inline B shift_left(B x, int n) { return x << static_cast<uint8_t>(n); }
inline V from_u8(B b) {
  float out[16];
  for (int i = 0; i < 16; ++i) out[i] = static_cast<float>(b[i]);
  return load(out);
}
inline V from_i8(B b) {
  float out[16];
  for (int i = 0; i < 16; ++i) out[i] = static_cast<float>(static_cast<int8_t>(b[i]));
  return load(out);
}
#endif

inline V load_words(const std::byte* p) {
  uint16_t words[16];
  std::memcpy(words, p, sizeof words);
  return each([&](int i) {
    const I4 v = {words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]};
    return bits<F4>(v);
  });
}
/// Exponent and fraction moved to their float32 places, times 2^112, are the value (subnormal ones too); an exponent of
/// ones is set to ones again.
inline V load_f16(const std::byte* p) {
  const V words = load_words(p);
  return each([&](int i) {
    const I4 h = bits<I4>(words.a[i]);
    const F4 magnitude = bits<F4>((h & 0x7FFF) << 13) * 0x1p112f;
    const I4 special = (h & 0x7C00) == 0x7C00;
    return bits<F4>(bits<I4>(magnitude) | (special & 0x7F800000) | ((h & 0x8000) << 16));
  });
}
inline V load_bf16(const std::byte* p) {
  const V words = load_words(p);
  return each([&](int i) { return bits<F4>(bits<I4>(words.a[i]) << 16); });
}

inline void transpose_4x4(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  for (int r = 0; r < 4; ++r) {
    for (int c = 0; c < 4; ++c) out[c * out_stride + r] = in[r * in_stride + c];
  }
}

constexpr int kRowTile = 2;

#include "backend/cpu/level.inc"

}  // namespace

void fill_baseline_kernels(CpuKernels& table) noexcept { fill(table); }

}  // namespace duet
