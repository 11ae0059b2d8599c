#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "chat/session.h"
#include "terminal/progress.h"

namespace duet {

/// Progress on standard error, where that is a terminal, of work that takes more than half a second.
class LateProgress {
 public:
  LateProgress();
  ~LateProgress();
  LateProgress(const LateProgress&) = delete;
  LateProgress& operator=(const LateProgress&) = delete;
  void say(std::string_view line) { display_.say(line); }
  /// Both throw Error cancelled after Ctrl-C.
  void bytes(std::string_view what, int64_t done, int64_t total);
  void steps(std::string_view what, int64_t done, int64_t total);

 private:
  bool shows() const;
  ProgressDisplay display_;
  bool drawn_;
  ProgressDisplay::Clock::time_point begin_;
};

/// Loads a model that lies at `path`, with progress on standard error once it takes more than half a second. Ctrl-C
/// ends it with Error cancelled.
std::unique_ptr<Session> open_session(const std::filesystem::path& path, const SessionOptions& options);

}  // namespace duet
