#include "base/cpu_features.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace duet {

#if defined(__x86_64__)
namespace {

/// Bits of the register XCR0: the register files that the operating system saves.
uint32_t saved_registers() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool has(uint32_t bits, std::initializer_list<int> wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](int bit) { return (bits >> bit & 1U) != 0; });
}

}  // namespace

// Bits: Intel SDM volume 2A, CPUID leaves 1 and 7; volume 1, XCR0.
CpuFeatures cpu_features() {
  CpuFeatures features;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return features;
  constexpr int kFma = 12, kOsxsave = 27, kAvx = 28, kF16c = 29;
  if (!has(c, {kFma, kOsxsave, kAvx, kF16c})) return features;
  const uint32_t saved = saved_registers();
  if (!has(saved, {1, 2}) || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
  constexpr int kAvx2 = 5, kAvx512F = 16, kAvx512Dq = 17, kAvx512Bw = 30, kAvx512Vl = 31;
  features.avx2 = has(b, {kAvx2});
  features.avx512 = features.avx2 && has(saved, {5, 6, 7}) && has(b, {kAvx512F, kAvx512Dq, kAvx512Bw, kAvx512Vl});
  constexpr int kAvx512Vnni = 11, kAmxBf16 = 22, kAmxTile = 24, kAmxInt8 = 25;
  features.avx512_vnni = features.avx512 && has(c, {kAvx512Vnni});
  const bool tiles = has(saved, {17, 18}) && has(d, {kAmxTile});
  features.amx_int8 = tiles && has(d, {kAmxInt8});
  features.amx_bf16 = tiles && has(d, {kAmxBf16});
  const uint32_t subleaves = a;
  if (subleaves < 1 || __get_cpuid_count(7, 1, &a, &b, &c, &d) == 0) return features;
  constexpr int kAvxVnni = 4, kAvx512Bf16 = 5;
  features.avx_vnni = features.avx2 && has(a, {kAvxVnni});
  features.avx512_bf16 = features.avx512 && has(a, {kAvx512Bf16});
  return features;
}
#else
CpuFeatures cpu_features() { return {}; }
#endif

std::vector<std::string_view> feature_names(const CpuFeatures& features) {
  std::vector<std::string_view> names;
  for (const auto& [has_it, name] : std::initializer_list<std::pair<bool, std::string_view>>{
           {features.avx2, "AVX2"},
           {features.avx_vnni, "AVX-VNNI"},
           {features.avx512, "AVX-512"},
           {features.avx512_vnni, "AVX-512 VNNI"},
           {features.avx512_bf16, "AVX-512 BF16"},
           {features.amx_int8, "AMX int8"},
           {features.amx_bf16, "AMX bf16"},
       }) {
    if (has_it) names.push_back(name);
  }
  return names;
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

}  // namespace duet
