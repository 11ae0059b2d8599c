#pragma once

namespace duet {

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

}  // namespace duet
