#pragma once

#include <thread>

namespace duet {

/// About 50 us on the CPUs we know: longer than the gap between two ops of a step, shorter than anyone notices.
inline constexpr int kSpins = 2000;

inline void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits for what another thread is about to do: first on the core, then giving it away, so that the other one may be
/// on it.
template <typename Done>
void spin_until(const Done& done) {
  for (int i = 0; !done(); ++i) {
    if (i < kSpins) {
      pause_core();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace duet
