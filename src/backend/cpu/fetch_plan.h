#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "backend/types.h"
#include "base/fetch_line.h"

namespace duet {

/// Lines of memory that a coming op will touch, fetched by the threads of an op before it that waits for memory anyway:
/// what they ask for beside their stream comes at the speed of that stream, while an op that begins on cold lines waits
/// for each few of them. Only speed depends on it; an address may even be no longer valid.
class FetchPlan {
 public:
  /// Fetched bytes of each thread at most: they have to stay in its cache of the second level beside a stream.
  static constexpr int64_t kThreadBytes = 768 << 10;
  /// A product of fewer rows only waits for memory: keys and values that come beside its weights cost it as much as
  /// they save attention() later, which has work of its own to do meanwhile (6 us of a layer against 2, Sapphire
  /// Rapids).
  static constexpr size_t kRowsWithTime = 3;

  /// Replaces the plan: what attend() of these rows touches, in the order in which threads share the heads. Where that
  /// is too much, or the rows are few, the places of the new keys alone; of many rows (a prompt's) nothing.
  void expect(const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec, int threads) noexcept;
  void clear() noexcept { ranges_in_head_ = lines_in_head_ = 0; }

  /// Asks for shares [begin, end) of `parts` equal ones.
  void fetch(int64_t begin, int64_t end, int64_t parts) const noexcept {
    visit(begin, end, parts, [](const std::byte* line) { fetch_line<FetchFor::kReading, 2>(line); });
  }
  /// The same for anything that is to be done with each line: a test looks at them.
  template <typename Line>
  void visit(int64_t begin, int64_t end, int64_t parts, const Line& line) const {
    const int64_t lines = lines_in_head_ * heads_, last = lines * end / parts;
    for (int64_t at = lines * begin / parts; at < last;) {
      const int64_t head = at / lines_in_head_;
      int64_t skip = at % lines_in_head_;
      for (size_t i = 0; i < ranges_in_head_ && at < last; ++i) {
        const Range& range = ranges_[i];
        const std::byte* const from = range.first + head * head_bytes_;
        for (; skip < range.lines && at < last; ++skip, ++at) line(from + skip * range.step_bytes);
        skip -= std::min(skip, range.lines);
      }
    }
  }

 private:
  /// Of head 0: those of head h lie h head_bytes_ further on.
  struct Range {
    const std::byte* first;
    int64_t lines, step_bytes;
  };

  /// False where there is no room: nothing is added.
  bool add(const std::byte* first, int64_t lines, int64_t step_bytes) noexcept;
  bool add_bytes(const std::byte* begin, const std::byte* end) noexcept;
  /// The keys and values in slots [begin, end) of a page.
  bool add_slots(const KvView& kv, const std::byte* page, int64_t begin, int64_t end) noexcept;
  bool add_all(const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec, bool visible, int threads) noexcept;

  std::array<Range, 256> ranges_;
  size_t ranges_in_head_ = 0;
  int64_t lines_in_head_ = 0;
  int64_t heads_ = 0, head_bytes_ = 0;
};

}  // namespace duet
