#include "backend/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "backend/cpu/level.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/probe.h"
#include "base/check.h"
#include "base/cpu_features.h"

namespace duet {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 20;  // threads take turns, so that one that is slow reads less
constexpr int64_t kAhead[] = {0, 1024, 4096};      // which of them is best differs between machines
constexpr int64_t kPeakRounds = 20'000;            // under a millisecond
constexpr int64_t kPeakChunks = 8;                 // of each thread

CpuProbes best_probes() {
  CpuProbes probes;
  fill_baseline_probes(probes);
#if defined(__x86_64__)
  const CpuFeatures features = cpu_features();
  if (features.avx2) fill_avx2_probes(probes);
  if (features.avx512) fill_avx512_probes(probes, features.avx512_vnni, features.avx512_bf16);
#endif
  return probes;
}

/// Seconds of calls of each of `ways`, in turns for about `seconds` and once each at least.
std::vector<std::vector<double>> times_of(size_t ways, double seconds, const std::function<void(size_t way)>& call) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<std::vector<double>> times(ways);
  const auto begin = Clock::now();
  do {
    for (size_t way = 0; way < ways; ++way) {
      const auto start = Clock::now();
      call(way);
      times[way].push_back(since(start));
    }
  } while (since(begin) < seconds);
  return times;
}

struct HostMemory {
  explicit HostMemory(int64_t size) : bytes(size), data(allocate_host(size)) {}
  ~HostMemory() { release_host(data, bytes); }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  int64_t bytes;
  std::byte* data;
};

double peak(ThreadPool& pool, const PeakProbe& probe, double seconds) {
  const int64_t chunks = kPeakChunks * pool.threads();
  const auto macs = static_cast<double>(chunks * kPeakRounds * probe.macs_per_round);
  const auto times = times_of(1, seconds, [&](size_t) {
    pool.parallel_for(chunks, 1, [&](int64_t begin, int64_t end, int) { probe.run((end - begin) * kPeakRounds); });
  });
  return macs / *std::min_element(times[0].begin(), times[0].end());
}

}  // namespace

std::string_view cpu_level_name() { return choose_cpu_level("").name; }

double measure_read(ThreadPool& pool, bool one_thread, double seconds, int64_t bytes) {
  DUET_CHECK(bytes > 0);
  const CpuProbes probes = best_probes();
  const int64_t pieces = (bytes + kPieceBytes - 1) / kPieceBytes;
  const HostMemory memory(pieces * kPieceBytes);
  pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int) {
    std::memset(memory.data + begin * kPieceBytes, 1, static_cast<size_t>((end - begin) * kPieceBytes));
  });
  std::atomic<uint64_t> sum = 0;  // what is read is used
  const auto times = times_of(std::size(kAhead), seconds, [&](size_t way) {
    const auto read = [&](int64_t begin, int64_t end, int) {
      sum += probes.read(memory.data + begin * kPieceBytes, (end - begin) * kPieceBytes, kAhead[way]);
    };
    if (one_thread) {
      read(0, pieces, 0);
    } else {
      pool.parallel_for(pieces, 1, read);
    }
  });
  // What is kept up, what neighbours on the same machine take away included: so the speeds of models are measured that
  // it is compared with. The best pass would be a limit that holds for milliseconds.
  double best = 0;
  for (const std::vector<double>& of_way : times) {
    const double passes = static_cast<double>(of_way.size());
    best =
        std::max(best, static_cast<double>(memory.bytes) * passes / std::accumulate(of_way.begin(), of_way.end(), 0.0));
  }
  return best;
}

std::vector<PeakRate> measure_peaks(ThreadPool& pool, double seconds) {
  const CpuProbes probes = best_probes();
  const auto rate = [&](std::string_view name, const PeakProbe& probe) {
    return PeakRate{name, probe.instruction, peak(pool, probe, seconds)};
  };
  const PeakRate f32 = rate("f32", probes.f32);
  PeakRate bf16 = probes.bf16.run != nullptr ? rate("bf16", probes.bf16) : f32;
  bf16.arithmetic = "bf16";
  return {rate("int8", probes.int8), bf16, f32};
}

}  // namespace duet
