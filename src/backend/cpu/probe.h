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

/// Parts of what a probe reads side by side. A core asks memory for more at once where it reads several pages.
inline constexpr int64_t kReadStreams = 8;
inline constexpr int64_t kLinesAtOnce = 8;  // of all its streams, by a round of its loop
inline constexpr int64_t kReadUnit = kReadStreams * kLinesAtOnce * 64;
/// Where line i of kLinesAtOnce lies that a round reads, `at` into each of kStreams streams of `part` bytes.
template <int64_t kStreams>
constexpr int64_t line_of_round(int64_t i, int64_t at, int64_t part) {
  return i % kStreams * part + at + i / kStreams * 64;
}

/// Loops that show what a machine can do at most. Each level fills the slots that it has something better for.
struct CpuProbes {
  /// Reads `bytes` (a multiple of kReadUnit) once, fetching `ahead_bytes` ahead; what it returns depends on all of
  /// them.
  using Read = uint64_t (*)(const std::byte* data, int64_t bytes, int64_t ahead_bytes) noexcept;
  Read read = nullptr;               // from one end to the other
  Read read_side_by_side = nullptr;  // the same as kReadStreams streams, a line of each in turn
  PeakProbe int8, bf16, f32;         // bf16 stays empty without an instruction of its own
};

void fill_baseline_probes(CpuProbes& probes) noexcept;
#if defined(__x86_64__)
void fill_avx2_probes(CpuProbes& probes) noexcept;
/// `vnni`, `bf16`: the CPU has AVX-512 VNNI, BF16.
void fill_avx512_probes(CpuProbes& probes, bool vnni, bool bf16) noexcept;
#endif

}  // namespace duet
