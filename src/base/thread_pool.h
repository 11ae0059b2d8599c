#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace duet {

/// A fixed set of worker threads that share one loop at a time with the caller. Workers spin briefly, then park.
/// Each worker begins with an equal share of neighbouring chunks and then helps the others, so a core that is taken
/// away costs only its share; results must not depend on who computes which chunk.
class ThreadPool {
 public:
  /// `threads` includes the caller; 0 = usable_cores().
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  int threads() const;

  /// Calls body(begin, end, worker) over [0, count) in chunks of `grain` (the last one shorter) and returns when all is
  /// done. worker is in [0, threads()). body must not throw and must not call parallel_for. Up to `at_once` chunks go
  /// to one call, fewer towards the end, so that all threads end together.
  void parallel_for(int64_t count, int64_t grain,
                    const std::function<void(int64_t begin, int64_t end, int worker)>& body, int64_t at_once = 1);
  /// Loops so far whose chunks went to several threads: each costs about a microsecond, whatever it does.
  int64_t shared_loops() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Physical cores that this process may use: affinity, cgroup quota and SMT siblings respected. At least 1.
int usable_cores();

}  // namespace duet
