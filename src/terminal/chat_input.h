#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terminal/line_editor.h"

namespace duet {

/// One entry of a person at the chat's prompt, of one line or more.
struct ChatEntry {
  enum class Kind { kText, kCommand, kEnd, kInterrupted };
  Kind kind = Kind::kEnd;
  std::string text;     // kText: the message; kCommand: what follows the name; kInterrupted: what had been typed
  std::string command;  // kCommand: the name, "help" of "/help"
  std::string source;   // as typed, for the history; "" when there is nothing to remember
  std::vector<std::string> pasted;  // pieces of `text` of many lines that were pasted
};

/// Reads an entry. A line that ends with \ goes on in the next one; """ begins a text of many lines that the next """
/// ends. A one-line entry that begins with /word is a command; a path ("/etc/hosts") is not.
/// Text that was pasted in many lines is a message as it is. Throws io_error.
ChatEntry read_chat_entry(LineSource& lines, std::string_view prompt, std::string_view continuation_prompt);

}  // namespace duet
