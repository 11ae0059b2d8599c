#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace duet {

/// Where long work (a download, a load) tells what it does. Drawn by src/terminal; called from one thread.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  /// A line for people, without its end of line: what will be done, what was found.
  virtual void say(std::string_view line) = 0;
  /// `done_bytes` of `total_bytes` of `what` are there; may be called as often as is convenient.
  virtual void advance(std::string_view what, uint64_t done_bytes, uint64_t total_bytes) = 0;
  /// The same where work is counted in steps: runs, answers.
  virtual void advance_steps(std::string_view what, uint64_t done, uint64_t total) = 0;
  /// The work named by the last advance() is over, well or not.
  virtual void finish() = 0;
};

/// Drops everything.
class NoProgress final : public ProgressSink {
 public:
  void say(std::string_view) override {}
  void advance(std::string_view, uint64_t, uint64_t) override {}
  void advance_steps(std::string_view, uint64_t, uint64_t) override {}
  void finish() override {}
};

/// Asked between steps of long work: true ends it with Error cancelled. May be empty.
using Cancelled = std::function<bool()>;

/// A size for people, decimal units, three digits: "98.4 MB", "1.12 GB", "512 bytes".
std::string human_bytes(uint64_t bytes);

}  // namespace duet
