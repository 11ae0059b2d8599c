#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// Finds the first stop string in a stream of text pieces. What may still become a stop string is held back; nothing of
/// a stop string is ever passed on. The result does not depend on how the text is cut into pieces: the stop string that
/// is complete first wins, and of those that end together the longest.
class StopStrings {
 public:
  static constexpr size_t kMaxStrings = 64;
  static constexpr size_t kMaxBytes = 4096;

  /// Throws bad_value for an empty string, one that is not UTF-8, one above kMaxBytes, or more than kMaxStrings.
  explicit StopStrings(std::vector<std::string> stops = {});
  StopStrings(const StopStrings&) = delete;  // found_ points into stops_
  StopStrings& operator=(const StopStrings&) = delete;

  /// The text that is certain to come before any stop string. Empty once one was found.
  std::string push(std::string_view text);
  /// What was held back, at the end of a stream without a stop string.
  std::string finish();
  /// The one that was found, or nullptr.
  const std::string* found() const { return found_; }

 private:
  size_t held_bytes() const;

  std::vector<std::string> stops_;
  std::string pending_;
  const std::string* found_ = nullptr;
};

}  // namespace duet
