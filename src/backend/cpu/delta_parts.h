#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/done_once.h"

namespace duet {

/// The key heads of a step and the parts that threads cut them into: what a key head's parts need first is done once,
/// by the first of them, and what comes when all are done by the last.
class DeltaParts {
 public:
  explicit DeltaParts(int threads)
      : wanted_(threads == 1 ? 0 : kPartsAThread * threads), first_(wanted_), left_(static_cast<size_t>(wanted_)) {}

  /// Begins anew, while no other thread uses it: parts of each of `heads`, as many as keep all threads busy until they
  /// end together, 1 where the heads do so by themselves.
  int64_t begin(int64_t heads, int64_t most) {
    parts_ = std::clamp<int64_t>((wanted_ + heads - 1) / std::max<int64_t>(1, heads), 1, std::max<int64_t>(1, most));
    if (parts_ == 1) return 1;
    first_.begin(heads);  // fewer than wanted_
    for (int64_t i = 0; i < heads; ++i) left(i).store(parts_, std::memory_order_relaxed);
    return parts_;
  }
  /// A part of head i: first(), unless another part has done it, part(), and last() after the last of them.
  template <typename First, typename Part, typename Last>
  void run(int64_t i, const First& first, const Part& part, const Last& last) {
    if (parts_ == 1) {
      first();
    } else {
      first_.need(i, first);
    }
    part();
    if (parts_ == 1 || left(i).fetch_sub(1, std::memory_order_acq_rel) == 1) last();
  }

 private:
  static constexpr int64_t kPartsAThread = 4;
  std::atomic<int64_t>& left(int64_t i) { return left_[static_cast<size_t>(i)]; }

  int64_t wanted_, parts_ = 1;
  DoneOnce first_;
  std::vector<std::atomic<int64_t>> left_;
};

}  // namespace duet
