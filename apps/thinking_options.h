#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>

#include "chat/session.h"

namespace duet {

/// How a conversation is put to the model, as the options say; what was not given stays as it was.
struct ThinkingOptions {
  bool think = false, no_think = false, drop_oldest = false;
  std::optional<int64_t> budget_tokens;

  /// Whether anything was said about thinking.
  bool given() const { return think || no_think || budget_tokens; }
  ChatOptions over(ChatOptions defaults = {}) const;
  /// Throws unsupported_feature where thinking was asked for and the model knows none.
  void check(Session& session) const;
};
/// --think, --no-think, --think-budget and, for conversations of many `turns`, --drop-oldest.
void add_thinking_options(CLI::App& command, ThinkingOptions& options, bool turns);

}  // namespace duet
