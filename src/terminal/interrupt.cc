#include "terminal/interrupt.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/error.h"
#include "terminal/terminal_mode.h"

namespace duet {
namespace {

std::atomic<bool> g_interrupted{false};
std::atomic<bool> g_terminated{false};
std::atomic<int64_t> g_last_press_ms{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free,
              "a signal handler may only touch lock-free atomics");

constexpr int64_t kSecondPressMs = 1000;
constexpr int kInterruptedStatus = 130;  // 128 + SIGINT, as shells report it

extern "C" void on_signal(int signal) {
  const int saved_errno = errno;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t now_ms = static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
  const int64_t last_ms = g_last_press_ms.exchange(now_ms);
  if (signal != SIGINT) g_terminated = true;
  if (g_interrupted.exchange(true) && now_ms - last_ms < kSecondPressMs) {
    restore_terminal();
    ::_exit(kInterruptedStatus);
  }
  errno = saved_errno;
}

}  // namespace

void watch_interrupts() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction old {};
    if (::sigaction(signal, nullptr, &old) != 0 || old.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = on_signal;
    ::sigemptyset(&action.sa_mask);
    action.sa_flags = 0;  // no SA_RESTART: a read that waits for a person must return
    ::sigaction(signal, &action, nullptr);
  }
}

const std::atomic<bool>& interrupt_requested() { return g_interrupted; }

bool take_interrupt() { return g_interrupted.exchange(false); }

bool termination_requested() { return g_terminated; }

void throw_if_interrupted() {
  if (g_interrupted) throw Error(ErrorCode::kCancelled, "interrupted");
}

}  // namespace duet
