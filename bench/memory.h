#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/limits.h"
#include "base/thread_pool.h"

// What the programs of bench/ multiply with, and what they compare reading it with.

namespace duet::bench {

/// All threads read `memory` once, in pieces of `piece` bytes (a multiple of 64), a line at a time, fetched ahead.
inline void read_once(ThreadPool& pool, std::span<const std::byte> memory, int64_t piece = int64_t{1} << 20) {
  constexpr int64_t kAhead = 4096;
  static std::atomic<uint64_t> sum = 0;  // what is read is used
  const auto bytes = static_cast<int64_t>(memory.size());
  pool.parallel_for((bytes + piece - 1) / piece, 1, [&](int64_t first, int64_t last, int) {
    uint64_t s[8] = {};
    for (int64_t at = first * piece; at + 64 <= std::min(last * piece, bytes); at += 64) {
      __builtin_prefetch(memory.data() + at + kAhead);
      uint64_t line[8];
      std::memcpy(line, memory.data() + at, sizeof line);
      for (int i = 0; i < 8; ++i) s[i] += line[i];
    }
    for (const uint64_t one : s) sum += one;
  });
}

/// Any bytes from 0x30 to 0x3F: as scales of 16 or 8 bits they are finite and not subnormal.
inline WeightSource some_weights(DType type, int64_t out, int64_t in, Activations activations) {
  const auto read = [](int64_t, int64_t, std::span<std::byte> bytes) {
    static std::vector<std::byte> some;
    static std::once_flag once;
    std::call_once(once, [] {
      std::mt19937 random(1);
      some.resize(size_t{1} << 20);
      for (std::byte& b : some) b = static_cast<std::byte>(0x30 + (random() & 0x0F));
    });
    for (size_t at = 0; at < bytes.size(); at += some.size()) {
      std::memcpy(bytes.data() + at, some.data(), std::min(some.size(), bytes.size() - at));
    }
  };
  return {"w", type, out, in, read, activations};
}

/// As many copies of a weight as make few rows find it in memory and not in a cache.
inline std::vector<std::unique_ptr<PackedWeight>> weights_beyond_caches(Backend& backend, DType type, int64_t out,
                                                                        int64_t in, Activations activations) {
  std::vector<std::unique_ptr<PackedWeight>> weights;
  int64_t bytes = 0;
  do {
    weights.push_back(backend.pack(some_weights(type, out, in, activations)));
    bytes += weights.back()->bytes();
  } while (bytes < kReadProbeBytes);
  return weights;
}

}  // namespace duet::bench
