#include "backend/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <vector>

#include "backend/cpu/level.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/probe.h"
#include "base/check.h"
#include "base/cpu_features.h"

namespace duet {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 20;  // threads take turns, so that one that is slow reads less
static_assert(kPieceBytes % kReadUnit == 0);
constexpr int64_t kPeakRounds = 20'000;  // under a millisecond
constexpr int64_t kPeakChunks = 8;       // of each thread

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

struct ReadProbe::Memory {
  struct Way {
    CpuProbes::Read read;
    int64_t ahead_bytes;
  };

  Memory(ThreadPool& threads, int64_t bytes, double seconds)
      : pool(threads),
        try_seconds(seconds),
        pieces((bytes + kPieceBytes - 1) / kPieceBytes),
        data(allocate_host(pieces * kPieceBytes)) {
    pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int) {
      std::memset(data + begin * kPieceBytes, 1, static_cast<size_t>((end - begin) * kPieceBytes));
    });
    const CpuProbes probes = best_probes();
    ways = {{probes.read, 0},
            {probes.read, 1024},
            {probes.read, 4096},
            {probes.read_side_by_side, 0},
            {probes.read_side_by_side, 1024}};
  }
  ~Memory() { release_host(data, pieces * kPieceBytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void pass(const Way& way, bool one_thread) {
    const auto read = [&](int64_t begin, int64_t end, int) {
      sum += way.read(data + begin * kPieceBytes, (end - begin) * kPieceBytes, way.ahead_bytes);
    };
    if (one_thread) {
      read(0, pieces, 0);
    } else {
      pool.parallel_for(pieces, 1, read);
    }
  }
  /// Found when it is first asked for: many callers want one of the two.
  const Way& best_way(bool one_thread) {
    if (best[one_thread]) return *best[one_thread];
    auto times = times_of(ways.size(), try_seconds, [&](size_t way) { pass(ways[way], one_thread); });
    const auto median = [](std::vector<double>& of_way) {
      std::nth_element(of_way.begin(), of_way.begin() + static_cast<int64_t>(of_way.size() / 2), of_way.end());
      return of_way[of_way.size() / 2];
    };
    const auto least =
        std::min_element(times.begin(), times.end(), [&](auto& a, auto& b) { return median(a) < median(b); });
    return best[one_thread].emplace(ways[static_cast<size_t>(least - times.begin())]);
  }

  ThreadPool& pool;
  double try_seconds;
  int64_t pieces;
  std::byte* data;
  std::vector<Way> ways;
  std::optional<Way> best[2];     // of all threads, of one
  std::atomic<uint64_t> sum = 0;  // what is read is used
};

ReadProbe::ReadProbe(ThreadPool& pool, int64_t bytes, double seconds) {
  DUET_CHECK(bytes > 0);
  memory_ = std::make_unique<Memory>(pool, bytes, seconds);
}

ReadProbe::~ReadProbe() = default;

double ReadProbe::rate(bool one_thread, double seconds) {
  const Memory::Way& way = memory_->best_way(one_thread);
  const auto times = times_of(1, seconds, [&](size_t) { memory_->pass(way, one_thread); });
  // What is kept up, what neighbours on the same machine take away included: so the speeds of models are measured that
  // it is compared with. The best pass would be a limit that holds for milliseconds.
  return static_cast<double>(memory_->pieces * kPieceBytes) * static_cast<double>(times[0].size()) /
         std::accumulate(times[0].begin(), times[0].end(), 0.0);
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
