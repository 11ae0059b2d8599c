#pragma once

#include <cstdint>

namespace duet {

inline constexpr int64_t kLineBytes = 64;

enum class FetchFor { kReading, kWriting };

/// Asks for the cache line at `address`, which may be any: nothing depends on it but speed. `kLevel`: the first cache
/// that it is wanted in. In place of __builtin_prefetch() in functions and loops that do nothing else: g++ takes these
/// for code without effects and leaves it out, which the empty asm prevents.
template <FetchFor kFor = FetchFor::kReading, int kLevel = 1>
[[gnu::always_inline]] inline void fetch_line(const void* address) {
  static_assert(kLevel == 1 || kLevel == 2);
  __builtin_prefetch(address, kFor == FetchFor::kWriting ? 1 : 0, 4 - kLevel);
  asm volatile("" : : "r"(address));
}

/// The lines of `bytes` bytes from `begin` on, a line's beginning.
template <FetchFor kFor = FetchFor::kReading, int kLevel = 1>
[[gnu::always_inline]] inline void fetch_lines(const void* begin, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kLineBytes) {
    fetch_line<kFor, kLevel>(static_cast<const char*>(begin) + at);
  }
}

}  // namespace duet
