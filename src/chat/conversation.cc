#include "chat/conversation.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace duet {
namespace {

constexpr std::string_view kSystem = "system", kUser = "user", kAssistant = "assistant";

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

Json messages_json(std::span<const Message> messages) {
  Json::Array list;
  for (const Message& message : messages) {
    Json::Object entry{{"role", message.role}, {"content", replace_invalid_utf8(message.content)}};
    if (!message.reasoning.empty()) entry.emplace_back("reasoning_content", replace_invalid_utf8(message.reasoning));
    list.push_back(std::move(entry));
  }
  return list;
}

Json Conversation::to_json() const { return Json::Object{{"messages", messages_json(messages_)}}; }

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
    for (const auto& [key, member] : {std::pair{"role", &message.role}, std::pair{"content", &message.content},
                                      std::pair{"reasoning_content", &message.reasoning}}) {
      const Json* value = entry.find(key);
      if (value == nullptr && member == &message.reasoning) continue;
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

}  // namespace duet
