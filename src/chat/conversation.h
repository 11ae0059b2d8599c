#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/json.h"

namespace duet {

class ChatTemplate;
class Tokenizer;

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

/// messages > template > ids, ready for an answer: the template's own special tokens are recognised, and text of a
/// message never becomes a special token, whatever it spells. Apart from that the ids are those of the rendered text as
/// a whole. Throws template_error, template_limit.
std::vector<TokenId> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                 const std::vector<Message>& messages);

}  // namespace duet
