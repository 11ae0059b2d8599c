#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace duet {

/// Adds one subcommand: options, help with examples, and a callback that does the work and returns normally on success.
/// A callback reports failure by throwing duet::Error; main() prints it (one line, or JSON with --json) and sets the
/// exit code. A command whose own output says what failed (--jsonl) sets `exit_status` instead.
struct CommandState {
  bool json_errors = false;  // --json or --jsonl was given
  int exit_status = 0;
};

/// Every command but `version`, in the order of --help; each is defined in cmd_<name>.cc.
#define DUET_COMMANDS(X) \
  X(chat)                \
  X(run)                 \
  X(compare)             \
  X(bench)               \
  X(plan)                \
  X(pull)                \
  X(list)                \
  X(rm)                  \
  X(cache)               \
  X(inspect)             \
  X(tokenize)            \
  X(template)            \
  X(logits)              \
  X(completion)          \
  X(man)

#define DUET_DECLARE(name) void add_##name##_command(CLI::App& app, CommandState& state);
DUET_COMMANDS(DUET_DECLARE)
DUET_DECLARE(version)
#undef DUET_DECLARE

}  // namespace duet
