#include "backend/cpu/level.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace duet {
namespace {

constexpr std::array<std::string_view, 4> kLevels = {"baseline", "avx2", "avx512", "avx512vnni"};

#if defined(__x86_64__)
/// Bits of the register XCR0: the register files that the operating system saves.
uint32_t saved_registers() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool has(uint32_t bits, std::initializer_list<int> wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](int bit) { return (bits >> bit & 1U) != 0; });
}

/// An index of kLevels. Bits: Intel SDM volume 2A, CPUID leaves 1 and 7.
size_t best_level() {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return 0;
  constexpr int kFma = 12, kOsxsave = 27, kAvx = 28, kF16c = 29;
  if (!has(c, {kFma, kOsxsave, kAvx, kF16c})) return 0;
  const uint32_t saved = saved_registers();
  if (!has(saved, {1, 2}) || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return 0;
  constexpr int kAvx2 = 5, kAvx512F = 16, kAvx512Dq = 17, kAvx512Bw = 30, kAvx512Vl = 31;
  if (!has(b, {kAvx2})) return 0;
  if (!has(saved, {5, 6, 7}) || !has(b, {kAvx512F, kAvx512Dq, kAvx512Bw, kAvx512Vl})) return 1;
  constexpr int kAvx512Vnni = 11;
  return has(c, {kAvx512Vnni}) ? 3 : 2;
}
#else
size_t best_level() { return 0; }
#endif

}  // namespace

std::vector<std::string_view> supported_cpu_levels() {
  return {kLevels.begin(), kLevels.begin() + static_cast<std::ptrdiff_t>(best_level()) + 1};
}

CpuLevel choose_cpu_level(std::string_view name) {
  if (name.empty()) {
    const char* const forced = std::getenv("DUET_CPU");
    if (forced != nullptr) name = forced;
  }
  const size_t best = best_level();
  size_t level = best;
  if (!name.empty()) {
    level = static_cast<size_t>(std::find(kLevels.begin(), kLevels.end(), name) - kLevels.begin());
    if (level == kLevels.size()) {
      fail(ErrorCode::kBadValue, "CPU level '{}' is not one of {}", printable(name), fmt::join(kLevels, ", "));
    }
    if (level > best) {
      throw Error(ErrorCode::kUnsupportedFeature, fmt::format("this CPU lacks the level {}", name),
                  fmt::format("it has {}", fmt::join(supported_cpu_levels(), ", ")));
    }
  }
  CpuLevel chosen;
  chosen.name = kLevels[level];
  fill_baseline_kernels(chosen.kernels);
  fill_baseline_native(chosen.kernels);
#if defined(__x86_64__)
  if (level >= 1) fill_avx2_kernels(chosen.kernels);
  if (level >= 1) fill_avx2_native(chosen.kernels);
  if (level >= 2) fill_avx512_kernels(chosen.kernels);
  if (level >= 2) fill_avx512_native(chosen.kernels);
  if (level >= 3) fill_avx512vnni_native(chosen.kernels);
#endif
  return chosen;
}

}  // namespace duet
