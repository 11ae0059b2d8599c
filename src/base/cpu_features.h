#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// Instructions that this CPU has and its operating system lets programs use.
struct CpuFeatures {
  bool avx2 = false;    // with FMA and F16C
  bool avx512 = false;  // F, BW, DQ and VL
  bool avx_vnni = false;
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;
};
CpuFeatures cpu_features();

/// Those that there are, as people write them: "AVX2", "AVX-512 VNNI".
std::vector<std::string_view> feature_names(const CpuFeatures& features);

/// As the CPU calls itself, or "unknown CPU".
std::string cpu_name();

}  // namespace duet
