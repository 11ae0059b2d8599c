#include "backend/limits.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "backend/cpu/level.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/probe.h"
#include "base/cpu_features.h"

namespace duet {
namespace {

TEST(Limits, AreMeasuredForEveryArithmetic) {
  ThreadPool pool(2);
  const std::vector<PeakRate> peaks = measure_peaks(pool, 0.01);
  ASSERT_EQ(peaks.size(), 3u);
  EXPECT_EQ(peaks[0].arithmetic, "int8");
  EXPECT_EQ(peaks[1].arithmetic, "bf16");
  EXPECT_EQ(peaks[2].arithmetic, "f32");
  for (const PeakRate& peak : peaks) {
    EXPECT_GT(peak.macs_per_second, 0.0) << peak.arithmetic;
    EXPECT_FALSE(peak.instruction.empty());
  }
  ReadProbe probe(pool, int64_t{64} << 20, 0.0);
  EXPECT_GT(probe.rate(true, 0.0), 0.0);
  EXPECT_GT(probe.rate(false, 0.0), 0.0);
  EXPECT_FALSE(cpu_level_name().empty());
}

/// Each level's loop sees every byte: a sum of 64-bit numbers, whatever it fetches ahead.
TEST(Limits, EveryByteIsRead) {
  constexpr int64_t kBytes = 2 * kReadUnit;
  std::byte* const data = allocate_host(kBytes);
  for (int64_t i = 0; i < kBytes; ++i) data[i] = static_cast<std::byte>(i * 7 + i / 256);
  uint64_t expected = 0;
  for (int64_t i = 0; i < kBytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, data + i, sizeof word);
    expected += word;
  }
  const auto check = [&](auto fill) {
    CpuProbes probes;
    fill(probes);
    for (const auto read : {probes.read, probes.read_side_by_side}) {
      EXPECT_EQ(read(data, kBytes, 0), expected);
      EXPECT_EQ(read(data, kBytes, 1024), expected);
    }
    for (const PeakProbe* probe : {&probes.int8, &probes.bf16, &probes.f32}) {
      if (probe->run == nullptr) continue;
      EXPECT_GT(probe->macs_per_round, 0);
      probe->run(3);
    }
  };
  check(fill_baseline_probes);
#if defined(__x86_64__)
  const auto levels = supported_cpu_levels().size();
  if (levels > 1) check(fill_avx2_probes);
  if (levels > 2) check([](CpuProbes& probes) { fill_avx512_probes(probes, false, false); });
  const CpuFeatures features = cpu_features();
  if (levels > 2) {
    check([&](CpuProbes& probes) { fill_avx512_probes(probes, features.avx512_vnni, features.avx512_bf16); });
  }
#endif
  release_host(data, kBytes);
}

}  // namespace
}  // namespace duet
