#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"

namespace duet {

/// The level of the CPU backend that "" of make_cpu_backend() means: "avx2". Throws what that throws.
std::string_view cpu_level_name();

/// Memory that the CPU backend takes beside weights and the arena: each thread's scratch, and a block of activation
/// rows as wide as the widest matrix.
int64_t cpu_scratch_bytes(int threads);
int64_t cpu_activation_bytes(int64_t columns);

/// Reads far more than most caches hold.
inline constexpr int64_t kReadProbeBytes = int64_t{512} << 20;
/// What memory gives to a program that does nothing but read: `bytes` in large pages, again and again, as a model reads
/// its weights; of so many as fit a large last cache, that keeps some. They are fetched ahead at several distances, by
/// one stream and by several, since which is best differs between machines.
class ReadProbe {
 public:
  /// Takes that memory; throws out_of_memory. The first rate() with all threads of `pool`, and the first with one,
  /// tries every way for about `seconds`.
  ReadProbe(ThreadPool& pool, int64_t bytes, double seconds);
  ~ReadProbe();
  ReadProbe(const ReadProbe&) = delete;
  ReadProbe& operator=(const ReadProbe&) = delete;
  /// Bytes per second that all threads, or the caller alone, keep up in the best of these ways for about `seconds`, one
  /// pass at least; with what other programs on the machine take away.
  double rate(bool one_thread, double seconds);

 private:
  struct Memory;
  std::unique_ptr<Memory> memory_;
};

/// The most multiply-adds per second that the threads of a pool do with one kind of operand and nothing to load.
struct PeakRate {
  std::string_view arithmetic;   // "int8", "bf16", "f32"
  std::string_view instruction;  // the best that this CPU has, whatever DUET_CPU says; bf16 without one goes as f32
  double macs_per_second = 0;
};
/// int8, bf16 and f32, each measured for about `seconds`. AMX is not measured.
std::vector<PeakRate> measure_peaks(ThreadPool& pool, double seconds);

}  // namespace duet
