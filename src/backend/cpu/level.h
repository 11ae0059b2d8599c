#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/kernels.h"

namespace duet {

/// The levels that this CPU and its operating system run, lowest first: "baseline", "avx2", "avx512" (F, BW, DQ, VL),
/// "avx512vnni".
std::vector<std::string_view> supported_cpu_levels();

/// The kernel table of a level: `name`, or the variable DUET_CPU where it is empty, or the best supported one. The
/// first member is the level's name. Throws bad_value for a name that is no level, unsupported_feature for one that
/// this CPU lacks.
struct CpuLevel {
  std::string_view name;
  CpuKernels kernels;
};
CpuLevel choose_cpu_level(std::string_view name);

}  // namespace duet
