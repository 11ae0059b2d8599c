#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "terminal/line_editor.h"
#include "terminal/text_flow.h"

namespace duet {

/// A command of the chat, as /help shows it.
struct ChatCommand {
  std::string_view name;       // without the /
  std::string_view arguments;  // "FILE", "[TEXT]"
  std::string_view help;
};
std::span<const ChatCommand> chat_commands();

/// Names with what they mean beside them, wrapped; below them on a narrow terminal.
class HelpTable {
 public:
  /// `left`: columns of the names, with the space behind them; `width`: of the terminal.
  HelpTable(int64_t left, int64_t width);
  void add(std::string_view name, std::string_view help);
  void add_note(std::string_view note);
  std::string take() { return flow_.take(); }

 private:
  TextFlow flow_;
  int64_t left_;
  bool narrow_;
};

/// The text of /help, for a terminal of this width.
std::string chat_help(int width);

/// Throws usage_error: there is no such command, with the nearest that there is, or it takes no arguments. /exit, /bye
/// and /? are known, too.
void check_chat_command(const std::string& name, const std::string& arguments);

/// What Tab makes of the text before the cursor: commands, names of models after /model, of parameters after /params,
/// of files after @, /save and /load.
Completions complete_chat_line(std::string_view before, const std::function<std::vector<std::string>()>& model_names);

}  // namespace duet
