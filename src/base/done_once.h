#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/spin.h"

namespace duet {

/// Parts of work that must be done before the rest of a loop over threads, within that loop: whoever needs a part first
/// does it, and who comes meanwhile waits. It stands for a loop of its own (about a microsecond, and all threads wait
/// for the slowest). Nobody can wait for ever: a part is done by a thread that runs, and must not need another part.
class DoneOnce {
 public:
  /// Room for `most` parts.
  explicit DoneOnce(int64_t most) : parts_(static_cast<size_t>(most)) {}
  int64_t most() const { return static_cast<int64_t>(parts_.size()); }

  /// Begins anew with `parts` that are not done, while no other thread uses it.
  void begin(int64_t parts) {
    for (int64_t i = 0; i < parts; ++i) parts_[static_cast<size_t>(i)].store(kOpen, std::memory_order_relaxed);
    count_ = parts;
    next_.store(0, std::memory_order_relaxed);
  }
  /// Returns when part i is done: by work(), where nobody else has begun it.
  template <typename Work>
  void need(int64_t i, const Work& work) {
    if (take(i)) return finish(i, work);
    wait(i);
  }
  /// Returns when all parts are done: by work(i), for those that nobody else has begun.
  template <typename Work>
  void need_all(const Work& work) {
    // Each thread goes on where the last one took a part, so that none looks at all of them.
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      if (take(i)) finish(i, [&] { work(i); });
    }
    for (int64_t i = 0; i < count_; ++i) wait(i);
  }

 private:
  enum : uint8_t { kOpen, kBegun, kDone };
  using Part = std::atomic<uint8_t>;

  bool take(int64_t i) {
    Part& part = parts_[static_cast<size_t>(i)];
    uint8_t expected = kOpen;
    return part.load(std::memory_order_relaxed) == kOpen &&
           part.compare_exchange_strong(expected, kBegun, std::memory_order_relaxed);
  }
  template <typename Work>
  void finish(int64_t i, const Work& work) {
    work();
    parts_[static_cast<size_t>(i)].store(kDone, std::memory_order_release);
  }
  void wait(int64_t i) const {
    spin_until([&] { return parts_[static_cast<size_t>(i)].load(std::memory_order_acquire) == kDone; });
  }

  std::vector<Part> parts_;
  int64_t count_ = 0;
  alignas(64) std::atomic<int64_t> next_ = 0;
};

}  // namespace duet
