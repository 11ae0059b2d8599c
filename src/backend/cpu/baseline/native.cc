// The native arithmetic at the level baseline: plain C++ with vectors of 16 bytes, the same bits as the other levels.
#include "backend/cpu/kernels.h"

#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#include <xmmintrin.h>
#endif

namespace duet {
namespace {

#include "backend/cpu/baseline/lanes.inc"

constexpr int kUnrollWords = 1, kParts = 2, kTileRows = 2, kDirectRows = 1;  // few: it is to compile fast
constexpr int kCheapRows = 1, kLookupRows = 1;
using S8 = int16_t __attribute__((vector_size(16)));
/// 8 words, 16 pairs or 8 sums.
struct H {
  U4 a[2];
};
struct F {
  F4 a[2];
};
template <typename To, typename Op>
inline To both(Op op) {
  return {{op(0), op(1)}};
}

inline H half(W w, int part) { return {{w.a[2 * part], w.a[2 * part + 1]}}; }
inline F half(V v, int part) { return {{v.a[2 * part], v.a[2 * part + 1]}}; }
inline F load_half(const float* p) { return {{load4(p), load4(p + 4)}}; }
inline void store_half(float* p, F v) { std::memcpy(p, &v, sizeof v); }
inline F set_all(float x) {
  const F4 v = {x, x, x, x};
  return {{v, v}};
}
inline F times(F x, F y) {
  return both<F>([&](int i) { return x.a[i] * y.a[i]; });
}
inline F to_float(H sums) {
  return both<F>([&](int i) { return __builtin_convertvector(bits<I4>(sums.a[i]), F4); });
}

/// x y + z rounded once. The product is exact in float64. Their sum is rounded to odd there (an inexact sum with an
/// even last bit becomes its neighbour towards the exact value), after which rounding to float32 is as from the exact
/// value: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd",
/// 2008.
inline float fused(float x, float y, float z) {
  const double p = static_cast<double>(x) * static_cast<double>(y), c = static_cast<double>(z);
  const double sum = p + c, other = sum - p;
  const double error = (p - (sum - other)) + (c - other);  // exact, or NaN where the sum is not finite
  auto code = bits<uint64_t>(sum);
  if ((error > 0 || error < 0) && (code & 1U) == 0) {
    code += (error > 0) == (sum > 0) ? uint64_t{1} : ~uint64_t{0};
  }
  return static_cast<float>(bits<double>(code));
}
__attribute__((noinline)) F fused(F x, F y, F sum) {
  float a[8], b[8], c[8];
  store_half(a, x), store_half(b, y), store_half(c, sum);
  for (int i = 0; i < 8; ++i) c[i] = fused(a[i], b[i], c[i]);
  return load_half(c);
}

inline H broadcast_word(const void* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return both<H>([&](int) { return U4{} + word; });
}
/// Sums of two products in 16 bits each: the even bytes' and the odd bytes'. All are signed, unsigned ones are
/// below 64.
template <int>
inline H dot(H w, H x) {
  return both<H>([&](int i) {
    const auto we = bits<S8>(w.a[i]), xe = bits<S8>(x.a[i]);
    return bits<U4>(((we << 8) >> 8) * ((xe << 8) >> 8) + (we >> 8) * (xe >> 8));
  });
}
inline H add_pairs(H x, H y) {
  return both<H>([&](int i) { return bits<U4>(bits<S8>(x.a[i]) + bits<S8>(y.a[i])); });
}
inline H widen(H pairs) {
  return both<H>([&](int i) {
    const auto v = bits<I4>(pairs.a[i]);
    return bits<U4>(((v << 16) >> 16) + (v >> 16));
  });
}
inline H add_sums(H x, H y) {
  return both<H>([&](int i) { return x.a[i] + y.a[i]; });
}
/// first * sums[0] + second * sums[1] in every lane.
inline H weigh_sums(const int16_t* sums, int first, int second) {
  const auto sum = static_cast<uint32_t>(first * sums[0] + second * sums[1]);
  return both<H>([&](int) { return U4{} + sum; });
}

/// The same with weights of each lane's own, a pair in 16 bits each.
inline H weigh_sums(const int16_t* sums, H weights) {
  return both<H>([&](int i) {
    const auto v = bits<I4>(weights.a[i]);
    return bits<U4>(((v << 16) >> 16) * sums[0] + (v >> 16) * sums[1]);
  });
}

void native_round(const float* x, int64_t blocks, int64_t stride, NativeBlock* out) noexcept {
  for (int64_t b = 0; b < blocks; ++b, x += 32, out += stride) {
    uint32_t magnitude = 0;  // compared as integers: not finite is above all others
    for (int k = 0; k < 32; ++k) {
      const uint32_t code = bits<uint32_t>(x[k]) & 0x7FFFFFFFU;
      magnitude = code > magnitude ? code : magnitude;
    }
    NativeBlock block = {};
    if (magnitude >= 0x7F800000U) {
      block.scale = block.sum = __builtin_nanf("");
    } else if (magnitude >= 0x0D800000U) {  // 2^-100: 127 / top stays finite
      const auto top = bits<float>(magnitude);
      block.scale = top / 127.0f;
      const float inverse = 127.0f / top;
      constexpr float kBig = 12582912.0f;  // 1.5 * 2^23: the sum has no bits below 1, ties go to even
      for (int k = 0; k < 32; ++k) {
        const int q = static_cast<int>(x[k] * inverse + kBig - kBig);
        block.q[k] = static_cast<int8_t>(q);
        block.sums[k / 16] = static_cast<int16_t>(block.sums[k / 16] + q);
      }
      block.sum = block.scale * static_cast<float>(block.sums[0] + block.sums[1]);
    }
    *out = block;
  }
}

#include "backend/cpu/codecs.inc"
#include "backend/cpu/native.inc"

}  // namespace

void fill_baseline_native(CpuKernels& table) noexcept { fill_native(table); }

}  // namespace duet
