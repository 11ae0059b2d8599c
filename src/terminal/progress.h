#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "base/progress.h"

namespace duet {

/// What is counted.
enum class ProgressUnit { kBytes, kSteps };

/// "smollm2-135m  [=====>    ]  46 %  45.2 of 98.4 MB  12.3 MB/s  0:04 left", at most `width` columns: what does not
/// fit is left out from the bar outwards. A rate of 0 is not known yet. Of steps: "3 of 12", and no rate.
std::string progress_line(std::string_view what, uint64_t done, uint64_t total, double per_second, int width,
                          ProgressUnit unit = ProgressUnit::kBytes);

/// Draws progress: on a terminal one line that is redrawn at most ten times a second, elsewhere a plain line every ten
/// seconds, and one at the end if there was any.
class ProgressDisplay final : public ProgressSink {
 public:
  using Clock = std::chrono::steady_clock;
  /// Where and how to draw; tests bring their own.
  struct Surface {
    std::function<void(std::string_view)> write;
    bool terminal = false;
    std::function<int()> width = [] { return 80; };  // columns
    std::function<Clock::time_point()> now = Clock::now;
  };

  explicit ProgressDisplay(Surface surface) : surface_(std::move(surface)) {}
  /// On standard error.
  static Surface standard_error();

  void say(std::string_view line) override;
  void advance(std::string_view what, uint64_t done_bytes, uint64_t total_bytes) override {
    advance(what, done_bytes, total_bytes, ProgressUnit::kBytes);
  }
  void advance_steps(std::string_view what, uint64_t done, uint64_t total) override {
    advance(what, done, total, ProgressUnit::kSteps);
  }
  void finish() override;

 private:
  struct Sample {
    Clock::time_point time;
    uint64_t done;
  };
  void advance(std::string_view what, uint64_t done, uint64_t total, ProgressUnit unit);
  double per_second(Clock::time_point now) const;
  void draw(Clock::time_point now);

  Surface surface_;
  bool active_ = false;
  std::string what_;
  ProgressUnit unit_ = ProgressUnit::kBytes;
  uint64_t done_ = 0, total_ = 0;
  std::deque<Sample> samples_;    // of the last seconds
  bool drawn_ = false;            // since the work began
  Clock::time_point drawn_at_{};  // or when it began
  uint64_t drawn_done_ = 0;
};

}  // namespace duet
