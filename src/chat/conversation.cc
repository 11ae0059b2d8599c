#include "chat/conversation.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "chat/chat_template.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

constexpr std::string_view kSystem = "system", kUser = "user", kAssistant = "assistant";

/// Supplementary Private Use Area-A: what no template looks for, trims, or changes the case of.
constexpr char32_t kPrivateBegin = 0xf0000, kPrivateEnd = 0xffffd;

/// Stand-ins for texts that spell special tokens, while a template moves the text around it. A stand-in is one
/// private-use character that occurs in no message, then its number in private-use digits, then that character again.
class StandIns {
 public:
  explicit StandIns(const std::vector<Message>& messages) {
    std::set<char32_t> used;
    for (const Message& message : messages) {
      for (std::string_view rest = message.content; !rest.empty();) {
        const Utf8Step step = decode_utf8(rest);
        if (step.code >= kPrivateBegin && step.code <= kPrivateEnd) used.insert(step.code);
        rest.remove_prefix(static_cast<size_t>(step.length));
      }
    }
    char32_t mark =
        kPrivateBegin + kDigits;  // the digits themselves may occur in messages: only the mark is looked for
    while (used.contains(mark) && mark < kPrivateEnd) ++mark;
    if (used.contains(mark)) fail(ErrorCode::kBadValue, "the messages use every character of a private area");
    append_utf8(mark_, mark);
  }

  /// The text with every added token in it replaced; of an assistant only the special ones, since its template may look
  /// for others ("</think>").
  std::string hide(const Message& message, const Tokenizer& tokenizer) {
    const std::string content = replace_invalid_utf8(message.content);
    std::string out;
    size_t done = 0;
    for (const AddedTokenMatch& match : tokenizer.find_added(content)) {
      if (message.role == kAssistant && !tokenizer.is_special(match.id)) continue;
      out += content.substr(done, match.span.begin - done);
      out += mark_;
      for (const char digit : std::to_string(hidden_.size())) {
        append_utf8(out, kPrivateBegin + static_cast<char32_t>(digit - '0'));
      }
      out += mark_;
      hidden_.push_back(content.substr(match.span.begin, match.span.end - match.span.begin));
      done = match.span.end;
    }
    return out + content.substr(done);
  }

  /// Puts the texts back and says where they are now.
  std::string reveal(std::string_view rendered, std::vector<TextSpan>& spans) const {
    std::string out;
    while (true) {
      const size_t begin = rendered.find(mark_);
      out += rendered.substr(0, begin);
      if (begin == std::string_view::npos) return out;
      rendered.remove_prefix(begin + mark_.size());
      const size_t end = rendered.find(mark_);
      const size_t index = number(rendered.substr(0, end));
      if (end == std::string_view::npos || index >= hidden_.size()) {
        fail(ErrorCode::kTemplateError,
             "the chat template cuts or changes text of a message that spells a special token");
      }
      spans.push_back({out.size(), out.size() + hidden_[index].size()});
      out += hidden_[index];
      rendered.remove_prefix(end + mark_.size());
    }
  }

 private:
  static constexpr char32_t kDigits = 10;

  static size_t number(std::string_view digits) {
    constexpr size_t kNone = static_cast<size_t>(-1);
    size_t value = 0;
    if (digits.empty() || digits.size() > 9 * 4) return kNone;
    while (!digits.empty()) {
      const Utf8Step step = decode_utf8(digits);
      if (step.code < kPrivateBegin || step.code >= kPrivateBegin + kDigits) return kNone;
      value = value * 10 + (step.code - kPrivateBegin);
      digits.remove_prefix(static_cast<size_t>(step.length));
    }
    return value;
  }

  std::string mark_;
  std::vector<std::string> hidden_;
};

}  // namespace

void Conversation::set_system(std::string text) {
  if (!messages_.empty() && messages_.front().role == kSystem) messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {std::string(kSystem), std::move(text)});
}

void Conversation::add_user(std::string text) { messages_.push_back({std::string(kUser), std::move(text)}); }

void Conversation::add_assistant(std::string text, std::string reasoning) {
  messages_.push_back({std::string(kAssistant), std::move(text), std::move(reasoning)});
}

void Conversation::clear() {
  std::erase_if(messages_, [](const Message& message) { return message.role != kSystem; });
}

bool Conversation::drop_last(std::string_view role) {
  if (messages_.empty() || messages_.back().role != role) return false;
  messages_.pop_back();
  return true;
}

Json Conversation::to_json() const {
  Json::Array list;
  for (const Message& message : messages_) {
    list.push_back(Json::Object{{"role", message.role}, {"content", replace_invalid_utf8(message.content)}});
  }
  return Json::Object{{"messages", std::move(list)}};
}

Conversation Conversation::from_json(const Json& json, std::string_view name) {
  const Json* list = &json;
  if (json.is_object()) {
    list = json.find("messages");
    if (list == nullptr) fail(ErrorCode::kMissingKey, "{}: no key 'messages'", name);
  }
  if (!list->is_array())
    fail(ErrorCode::kBadType, "{}: the messages are {}, expected an array", name, list->kind_name());
  Conversation conversation;
  for (size_t i = 0; i < list->array().size(); ++i) {
    const Json& entry = list->array()[i];
    if (!entry.is_object())
      fail(ErrorCode::kBadType, "{}: message {} is {}, expected an object", name, i, entry.kind_name());
    Message message;
    for (const auto& [key, member] : {std::pair{"role", &message.role}, std::pair{"content", &message.content}}) {
      const Json* value = entry.find(key);
      if (value == nullptr) fail(ErrorCode::kMissingKey, "{}: message {} has no '{}'", name, i, key);
      if (!value->is_string()) {
        fail(ErrorCode::kBadType, "{}: '{}' of message {} is {}, expected a string", name, key, i, value->kind_name());
      }
      *member = value->string();
    }
    if (message.role != kSystem && message.role != kUser && message.role != kAssistant) {
      fail(ErrorCode::kBadValue, "{}: the role of message {} is '{}', expected system, user or assistant", name, i,
           printable(message.role));
    }
    if (message.role == kSystem && i != 0)
      fail(ErrorCode::kBadValue, "{}: message {} is a system message, but not the first", name, i);
    conversation.messages_.push_back(std::move(message));
  }
  return conversation;
}

std::vector<TokenId> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                 const std::vector<Message>& messages) {
  StandIns stand_ins(messages);
  Json::Array list;
  for (const Message& message : messages) {
    list.push_back(Json::Object{{"role", message.role}, {"content", stand_ins.hide(message, tokenizer)}});
  }
  TemplateInput input;
  input.messages = std::move(list);
  input.kwargs = Json::Object{{"add_generation_prompt", true}};
  input.special_tokens = tokenizer.special_token_strings();
  std::vector<TextSpan> user_text;
  const std::string text = stand_ins.reveal(chat_template.render(input).text, user_text);
  return tokenizer.encode(text, {.parse_special = true, .add_special = false, .plain_spans = user_text});
}

}  // namespace duet
