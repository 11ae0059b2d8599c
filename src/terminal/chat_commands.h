#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "terminal/line_editor.h"

namespace duet {

/// A command of the chat, as /help shows it.
struct ChatCommand {
  std::string_view name;       // without the /
  std::string_view arguments;  // "FILE", "[TEXT]"
  std::string_view help;
};
std::span<const ChatCommand> chat_commands();

/// The text of /help, for a terminal of this width.
std::string chat_help(int width);

/// Throws usage_error: there is no such command, with the nearest that there is.
[[noreturn]] void fail_unknown_command(const std::string& name);

/// What Tab makes of the text before the cursor: commands, names of models after /model, of parameters after /params,
/// of files after @, /save and /load.
Completions complete_chat_line(std::string_view before, const std::function<std::vector<std::string>()>& model_names);

}  // namespace duet
