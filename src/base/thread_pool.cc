#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/spin.h"

namespace duet {
namespace {

constexpr int kMaxThreads = 1024;
/// The chunks of a loop, dealt out as one range for each worker. A worker takes chunks from the front of its own range,
/// so that neighbouring chunks (of a weight in memory, say) mostly go to one core: its prefetches stay useful and no
/// line is fought for. One that has none left takes the rear half of what another still has.
class Shares {
 public:
  explicit Shares(int workers) : ranges_(static_cast<size_t>(workers)) {}
  static constexpr int64_t kMostChunks = int64_t{1} << 31;

  /// While no worker takes any.
  void deal(int64_t chunks) {
    const auto count = static_cast<int64_t>(ranges_.size());
    for (int64_t w = 0; w < count; ++w) {
      ranges_[static_cast<size_t>(w)].store({chunks * w / count, chunks * (w + 1) / count});
    }
  }

  struct Pair {
    int64_t begin, end;
  };
  /// The next chunks for this worker, at most `most` (fewer near the end); none if none is left.
  Pair take(int worker, int64_t most) {
    Range& own = ranges_[static_cast<size_t>(worker)];
    Pair seen = own.load();
    while (seen.begin < seen.end) {
      const int64_t next = seen.begin + part_of(seen, most);
      if (own.exchange(seen, {next, seen.end})) return {seen.begin, next};
    }
    for (size_t i = 1; i < ranges_.size(); ++i) {
      Range& other = ranges_[(static_cast<size_t>(worker) + i) % ranges_.size()];
      seen = other.load();
      while (seen.begin < seen.end) {
        const int64_t from = seen.begin + (seen.end - seen.begin) / 2, end = seen.end;
        if (!other.exchange(seen, {seen.begin, from})) continue;
        // Nobody else writes an empty range, and no range has the same chunks twice in a loop.
        const int64_t next = from + part_of({from, end}, most);
        own.store({next, end});
        return {from, next};
      }
    }
    return {0, 0};
  }

 private:
  /// Towards the end fewer at once, so that all end together; no fewer than half of `most`, which is for speed.
  static int64_t part_of(const Pair& left, int64_t most) {
    const int64_t count = left.end - left.begin;
    return std::min(count, std::clamp(count / 2, (most + 1) / 2, most));
  }
  /// Chunks [begin, end) as one word. No more than the numbers themselves passes between workers, so no order is asked
  /// for: what a loop reads and writes is ordered by how it opens and closes.
  class alignas(64) Range {
   public:
    Pair load() const { return unpack(word_.load(std::memory_order_relaxed)); }
    void store(Pair pair) { word_.store(pack(pair), std::memory_order_relaxed); }
    /// False, with what stands there now in `expected`, where that was something else.
    bool exchange(Pair& expected, Pair desired) {
      uint64_t word = pack(expected);
      if (word_.compare_exchange_weak(word, pack(desired), std::memory_order_relaxed)) return true;
      expected = unpack(word);
      return false;
    }

   private:
    static uint64_t pack(Pair p) { return static_cast<uint64_t>(p.begin) << 32 | static_cast<uint64_t>(p.end); }
    static Pair unpack(uint64_t word) {
      return {static_cast<int64_t>(word >> 32), static_cast<int64_t>(word & UINT32_MAX)};
    }
    std::atomic<uint64_t> word_ = 0;
  };
  std::vector<Range> ranges_;
};

}  // namespace

/// How a loop opens and closes. The caller writes the loop's fields, sets `open`, raises `epoch`. A worker that sees a
/// new epoch counts itself in `inside`, then looks at `open`: if it is closed, the worker leaves without touching the
/// fields. The caller closes when no chunk is left and waits for `inside` to fall to 0. Both sides write, then read
/// what the other wrote (sequentially consistent), so a worker that the caller does not see inside sees the loop
/// closed. A worker that never woke up in time delays nobody.
struct ThreadPool::State {
  explicit State(int number) : threads(number), shares(number) {}

  const int threads;
  std::vector<std::thread> workers;
  std::mutex one_loop;  // two threads may own models that share this pool

  alignas(64) std::atomic<uint32_t> epoch = 0;
  std::atomic<bool> open = false;
  std::atomic<bool> stop = false;
  alignas(64) std::atomic<int> inside = 0;
  Shares shares;
  int64_t count = 0;
  int64_t grain = 1, at_once = 1;
  const std::function<void(int64_t, int64_t, int)>* body = nullptr;
  std::atomic<int64_t> shared_loops = 0;

  void run_chunks(int worker) {
    for (;;) {
      const Shares::Pair chunks = shares.take(worker, at_once);
      if (chunks.begin == chunks.end) return;
      const int64_t begin = chunks.begin * grain;
      (*body)(begin, std::min(count - begin, (chunks.end - chunks.begin) * grain) + begin, worker);
    }
  }

  void work(int worker) {
    uint32_t seen = 0;
    for (;;) {
      uint32_t now = epoch.load(std::memory_order_acquire);
      for (int i = 0; now == seen && i < kSpins; ++i) {
        pause_core();
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

ThreadPool::ThreadPool(int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    fail(ErrorCode::kBadValue, "threads: {} is not in 0 (one per core) to {}", threads, kMaxThreads);
  }
  state_ = std::make_unique<State>(threads == 0 ? std::min(usable_cores(), kMaxThreads) : threads);
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

int64_t ThreadPool::shared_loops() const { return state_->shared_loops.load(std::memory_order_relaxed); }

void ThreadPool::parallel_for(int64_t count, int64_t grain,
                              const std::function<void(int64_t begin, int64_t end, int worker)>& body,
                              int64_t at_once) {
  DUET_CHECK(grain > 0 && at_once > 0);
  if (count <= 0) return;
  State& s = *state_;
  const std::lock_guard lock(s.one_loop);
  if (s.threads == 1 || count <= grain) {
    const int64_t step = grain > count / at_once ? count : grain * at_once;
    for (int64_t begin = 0; begin < count; begin += std::min(step, count - begin)) {
      body(begin, begin + std::min(step, count - begin), 0);
    }
    return;
  }
  s.shared_loops.fetch_add(1, std::memory_order_relaxed);
  s.count = count;
  s.grain = std::max(grain, (count + Shares::kMostChunks - 1) / Shares::kMostChunks);
  s.at_once = at_once;
  s.body = &body;
  s.shares.deal((count + s.grain - 1) / s.grain);
  s.open.store(true);
  s.wake();
  s.run_chunks(0);
  s.open.store(false);
  // Parking here instead, so that a worker whose core was taken away in a chunk finds this one idle, was measured with
  // a busy neighbour on one of two cores: no faster in decode, slower in prefill.
  spin_until([&] { return s.inside.load() == 0; });
}

}  // namespace duet
