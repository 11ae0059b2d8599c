#include "terminal/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "terminal/width.h"

namespace duet {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kRedraw = milliseconds(100);
constexpr auto kPlainInterval = seconds(10);
constexpr auto kRateWindow = seconds(5);
constexpr int kMaxBar = 40;
constexpr int kMinBar = 8;

std::string time_left(double left_s) {
  if (left_s >= 100 * 3600.0) return "days";
  const auto s = static_cast<int64_t>(std::ceil(left_s));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

/// "45.2 of 98.4 MB", "512 kB of 1.10 GB"
std::string done_of_total(uint64_t done, uint64_t total, ProgressUnit unit) {
  if (unit == ProgressUnit::kSteps) return fmt::format("{} of {}", done, total);
  const std::string part = human_bytes(done);
  const std::string whole = human_bytes(total);
  const size_t space = part.find(' ');
  return part.substr(space) == whole.substr(whole.find(' ')) ? fmt::format("{} of {}", part.substr(0, space), whole)
                                                             : fmt::format("{} of {}", part, whole);
}

}  // namespace

std::string progress_line(std::string_view what, uint64_t done, uint64_t total, double per_second, int width,
                          ProgressUnit unit) {
  done = std::min(done, total);
  const bool bytes = unit == ProgressUnit::kBytes;
  const double part = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  // Columns of their own for what changes its length, so that the bar keeps its size from one drawing to the next.
  const std::string percent = fmt::format("{:3} %", static_cast<int>(part * 100));
  const std::string sizes = fmt::format("  {:<{}}", done_of_total(done, total, unit), bytes ? 18 : 12);
  std::string rate;
  std::string left;
  if (bytes && per_second >= 1) rate = human_bytes(static_cast<uint64_t>(std::min(per_second, 1e18))) + "/s";
  if (done < total && per_second >= (bytes ? 1 : 1e-6)) {
    left = time_left(static_cast<double>(total - done) / per_second) + " left";
  }
  const auto columns = static_cast<size_t>(std::max(width, 0));
  for (const std::string& tail :
       {percent + sizes + (bytes ? fmt::format("  {:<9}", rate) : "") + fmt::format("  {:<9}", left), percent + sizes,
        percent}) {
    const size_t used = static_cast<size_t>(display_width(what)) + 2 + tail.size();
    if (used > columns) continue;
    const size_t room = columns - used;
    std::string line(what);
    if (room >= static_cast<size_t>(kMinBar) + 4) {
      const size_t bar = std::min<size_t>(room - 4, kMaxBar);
      std::string drawn(static_cast<size_t>(part * static_cast<double>(bar)), '=');
      if (drawn.size() < bar) drawn += '>';
      line += fmt::format("  [{:<{}}]", drawn, bar);
    }
    line += "  " + tail;
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }
  return percent.substr(0, columns);
}

ProgressDisplay::Surface ProgressDisplay::standard_error() {
  Surface surface;
  surface.terminal = ::isatty(STDERR_FILENO) == 1;
  surface.write = [](std::string_view text) {
    while (!text.empty()) {  // progress is no result: when nobody can see it, work goes on
      const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      text.remove_prefix(static_cast<size_t>(n));
    }
  };
  surface.width = [] {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? static_cast<int>(size.ws_col) : 80;
  };
  return surface;
}

void ProgressDisplay::say(std::string_view line) {
  finish();
  surface_.write(fmt::format("{}\n", line));
}

void ProgressDisplay::advance(std::string_view what, uint64_t done, uint64_t total, ProgressUnit unit) {
  const Clock::time_point now = surface_.now();
  if (active_ && (what != what_ || total != total_)) finish();
  const bool starts = !active_;
  if (starts) {
    active_ = true;
    what_ = what;
    total_ = total;
    unit_ = unit;
    samples_.clear();
    drawn_ = false;
    drawn_at_ = now;
  }
  done_ = done;
  if (samples_.empty() || now - samples_.back().time >= kRedraw) samples_.push_back({now, done});
  while (samples_.size() > 2 && now - samples_[1].time >= kRateWindow) samples_.pop_front();
  const auto interval = surface_.terminal ? Clock::duration(kRedraw) : Clock::duration(kPlainInterval);
  if ((starts && surface_.terminal) || now - drawn_at_ >= interval) draw(now);
}

void ProgressDisplay::finish() {
  if (!active_) return;
  if (drawn_ && drawn_done_ != done_) draw(surface_.now());
  if (surface_.terminal) surface_.write("\n");
  active_ = false;
}

double ProgressDisplay::per_second(Clock::time_point now) const {
  const double elapsed_s = duration<double>(now - samples_.front().time).count();
  const uint64_t first = samples_.front().done;
  if (elapsed_s < 0.2 || done_ < first) return 0;
  return static_cast<double>(done_ - first) / elapsed_s;
}

void ProgressDisplay::draw(Clock::time_point now) {
  drawn_ = true;
  drawn_at_ = now;
  drawn_done_ = done_;
  if (surface_.terminal) {  // one column is kept free: a full line would wrap
    surface_.write("\r" + progress_line(what_, done_, total_, per_second(now), surface_.width() - 1, unit_) + "\x1b[K");
    return;
  }
  const uint64_t percent =
      total_ == 0 ? 100 : static_cast<uint64_t>(static_cast<double>(done_) / static_cast<double>(total_) * 100);
  surface_.write(fmt::format("{}: {} ({} %)\n", what_, done_of_total(done_, total_, unit_), percent));
}

}  // namespace duet
