#include "chat/stop_strings.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace duet {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (stops_.size() > kMaxStrings) {
    fail(ErrorCode::kBadValue, "{} stop strings, at most {} are allowed", stops_.size(), kMaxStrings);
  }
  for (const std::string& stop : stops_) {
    if (stop.empty()) fail(ErrorCode::kBadValue, "a stop string is empty");
    if (stop.size() > kMaxBytes) {
      fail(ErrorCode::kBadValue, "a stop string of {} bytes, at most {} are allowed", stop.size(), kMaxBytes);
    }
    if (!is_valid_utf8(stop)) fail(ErrorCode::kBadValue, "stop string '{}' is not UTF-8", printable(stop));
  }
}

std::string StopStrings::push(std::string_view text) {
  if (found_ != nullptr) return {};
  if (stops_.empty()) return std::string(text);
  pending_ += text;
  size_t best_begin = 0;
  for (const std::string& stop : stops_) {
    const size_t begin = pending_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    const size_t best_end = found_ != nullptr ? best_begin + found_->size() : std::string::npos;
    if (end < best_end || (end == best_end && begin < best_begin)) {
      found_ = &stop;
      best_begin = begin;
    }
  }
  const size_t certain = found_ != nullptr ? best_begin : pending_.size() - held_bytes();
  std::string out = pending_.substr(0, certain);
  pending_.erase(0, found_ != nullptr ? pending_.size() : certain);
  return out;
}

std::string StopStrings::finish() {
  std::string out = std::move(pending_);
  pending_.clear();
  return out;
}

/// Bytes at the end of what is pending that begin a stop string.
size_t StopStrings::held_bytes() const {
  size_t held = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, pending_.size()); n > held; --n) {
      if (std::string_view(pending_).ends_with(std::string_view(stop).substr(0, n))) held = n;
    }
  }
  return held;
}

}  // namespace duet
