#include "backend/cpu/level.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/cpu_features.h"
#include "base/error.h"

namespace duet {
namespace {

constexpr std::array<std::string_view, 4> kLevels = {"baseline", "avx2", "avx512", "avx512vnni"};

/// An index of kLevels.
size_t best_level() {
  const CpuFeatures features = cpu_features();
  return features.avx512 ? (features.avx512_vnni ? 3 : 2) : features.avx2 ? 1 : 0;
}

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
