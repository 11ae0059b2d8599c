#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace duet {

/// One turn: `role` is "system", "user" or "assistant".
struct Message {
  std::string role;
  std::string content;
  std::string reasoning;  // of an assistant: what it thought before the answer; the template decides what is kept of it
  bool operator==(const Message&) const = default;
};

/// The messages of a chat, in order: at most one system message, first.
class Conversation {
 public:
  const std::vector<Message>& messages() const { return messages_; }
  /// Sets, replaces or (empty text) removes the system message.
  void set_system(std::string text);
  void add_user(std::string text);
  void add_assistant(std::string text, std::string reasoning = {});
  /// Forgets all but the system message.
  void clear();
  /// Removes the last message if it has this role.
  bool drop_last(std::string_view role);

  /// {"messages": [{"role", "content", "reasoning_content"?}, ...]}
  Json to_json() const;
  /// What to_json() wrote, or the array alone. `name` is the file's name for messages.
  /// Throws bad_type, missing_key, bad_value (role unknown or out of place, content not UTF-8).
  static Conversation from_json(const Json& json, std::string_view name);

 private:
  std::vector<Message> messages_;
};

/// The messages as a template takes them: [{"role", "content", "reasoning_content"?}, ...]; invalid UTF-8 is replaced.
Json messages_json(std::span<const Message> messages);

}  // namespace duet
