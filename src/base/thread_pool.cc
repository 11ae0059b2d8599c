#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/error.h"

namespace duet {
namespace {

constexpr int kMaxThreads = 1024;
// About 50 us on the CPUs we know: longer than the gap between two ops of a step, shorter than anyone notices.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

/// How a loop opens and closes. The caller writes the loop's fields, sets `open`, raises `epoch`. A worker that sees a
/// new epoch counts itself in `inside`, then looks at `open`: if it is closed, the worker leaves without touching the
/// fields. The caller closes when no chunk is left and waits for `inside` to fall to 0. Both sides write, then read
/// what the other wrote (sequentially consistent), so a worker that the caller does not see inside sees the loop
/// closed. A worker that never woke up in time delays nobody.
struct ThreadPool::State {
  int threads = 1;
  std::vector<std::thread> workers;
  std::mutex one_loop;  // two threads may own models that share this pool

  alignas(64) std::atomic<uint32_t> epoch = 0;
  std::atomic<bool> open = false;
  std::atomic<bool> stop = false;
  alignas(64) std::atomic<int> inside = 0;
  alignas(64) std::atomic<int64_t> next = 0;
  int64_t count = 0;
  int64_t grain = 1;
  const std::function<void(int64_t, int64_t, int)>* body = nullptr;

  void run_chunks(int worker) {
    for (;;) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      (*body)(begin, std::min(begin + grain, count), worker);
    }
  }

  void work(int worker) {
    uint32_t seen = 0;
    for (;;) {
      uint32_t now = epoch.load(std::memory_order_acquire);
      for (int i = 0; now == seen && i < kSpins; ++i) {
        pause();
        now = epoch.load(std::memory_order_acquire);
      }
      if (now == seen) {
        epoch.wait(seen, std::memory_order_acquire);
        continue;
      }
      seen = now;
      if (stop.load(std::memory_order_acquire)) return;
      inside.fetch_add(1);
      if (open.load()) run_chunks(worker);
      inside.fetch_sub(1);
    }
  }

  void wake() {
    epoch.fetch_add(1, std::memory_order_release);
    epoch.notify_all();
  }

  void join() {
    stop.store(true, std::memory_order_release);
    wake();
    for (std::thread& worker : workers) worker.join();
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads < 0 || threads > kMaxThreads) {
    fail(ErrorCode::kBadValue, "threads: {} is not in 0 (one per core) to {}", threads, kMaxThreads);
  }
  state_->threads = threads == 0 ? std::min(usable_cores(), kMaxThreads) : threads;
  try {
    for (int i = 1; i < state_->threads; ++i) {
      state_->workers.emplace_back([state = state_.get(), i] { state->work(i); });
    }
  } catch (const std::system_error& error) {
    state_->join();
    fail(ErrorCode::kOutOfMemory, "threads: the system starts {} of {}: {}", state_->workers.size() + 1,
         state_->threads, error.what());
  }
}

ThreadPool::~ThreadPool() { state_->join(); }

int ThreadPool::threads() const { return state_->threads; }

void ThreadPool::parallel_for(int64_t count, int64_t grain,
                              const std::function<void(int64_t begin, int64_t end, int worker)>& body) {
  DUET_CHECK(grain > 0);
  if (count <= 0) return;
  State& s = *state_;
  const std::lock_guard lock(s.one_loop);
  if (s.threads == 1 || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += std::min(grain, count - begin)) {
      body(begin, begin + std::min(grain, count - begin), 0);
    }
    return;
  }
  s.count = count;
  s.grain = grain;
  s.body = &body;
  s.next.store(0, std::memory_order_relaxed);
  s.open.store(true);
  s.wake();
  s.run_chunks(0);
  s.open.store(false);
  for (int i = 0; s.inside.load() != 0; ++i) {
    if (i < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace duet
