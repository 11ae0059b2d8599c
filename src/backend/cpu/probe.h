#pragma once

#include <cstddef>
#include <cstdint>

// Included by the objects of every instruction set level, as kernels.h: data and declarations only.

namespace duet {

/// A loop that does nothing but multiply and add in registers. run() goes through it `rounds` times.
struct PeakProbe {
  const char* instruction = nullptr;
  int64_t macs_per_round = 0;
  void (*run)(int64_t rounds) noexcept = nullptr;
};

/// Loops that show what a machine can do at most. Each level fills the slots that it has something better for.
struct CpuProbes {
  /// Reads `bytes` (a multiple of 512) once, fetching `ahead_bytes` ahead; what it returns depends on all of them.
  uint64_t (*read)(const std::byte* data, int64_t bytes, int64_t ahead_bytes) noexcept = nullptr;
  PeakProbe int8, bf16, f32;  // bf16 stays empty without an instruction of its own
};

void fill_baseline_probes(CpuProbes& probes) noexcept;
#if defined(__x86_64__)
void fill_avx2_probes(CpuProbes& probes) noexcept;
/// `vnni`, `bf16`: the CPU has AVX-512 VNNI, BF16.
void fill_avx512_probes(CpuProbes& probes, bool vnni, bool bf16) noexcept;
#endif

}  // namespace duet
