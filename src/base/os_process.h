#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/progress.h"

namespace duet {

/// A program to run, without a shell in between.
struct ProcessRequest {
  std::vector<std::string> command;                              // command[0]: a name looked up in PATH, or a path
  std::vector<std::pair<std::string, std::string>> environment;  // set on top of ours
  size_t max_output_bytes = 64 << 10;                            // of the output, the last part is kept
  bool separate_errors = false;                                  // stderr goes to `errors`, not to `output`
};

struct ProcessResult {
  int exit_status = 0;  // 128 + signal when a signal ended it
  bool cancelled = false;
  std::string output;  // stdout and stderr as they came, its end if there was much
  std::string errors;  // with separate_errors: stderr, its end
};

/// Runs it to its end with an empty standard input, in a process group of its own. Calls `tick` about ten times a
/// second. When `cancelled` says so the group gets SIGINT, after 3 s SIGKILL. The child dies with us, even when we are
/// killed. Throws not_found (no such program in PATH), io_error.
ProcessResult run_process(const ProcessRequest& request, const Cancelled& cancelled, const std::function<void()>& tick);

/// Where `program` lies according to PATH; std::nullopt when nowhere or not executable.
std::optional<std::string> find_program(const std::string& program);

}  // namespace duet
