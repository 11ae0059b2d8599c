#include "chat/template_call.h"

#include <algorithm>
#include <array>
#include <vector>

#include "text/jinja/template_error.h"
#include "text/jinja/text_search.h"

namespace duet {
namespace {

using jinja::raise_type;

constexpr std::string_view kTag = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::array<std::string_view, 3> kReasoningFields{"reasoning_content", "thinking", "reasoning"};

/// What iterating over `value` gives must be objects; strings and objects iterate as strings.
void check_objects(const Json& value, std::string_view what) {
  if (value.is_array()) {
    for (const Json& item : value.array()) {
      if (!item.is_object()) raise_type("{} must be objects, and one is of kind {}", what, item.kind_name());
    }
    return;
  }
  const bool empty = (value.is_string() && value.string().empty()) || (value.is_object() && value.object().empty());
  if (!empty) raise_type("{} must be a list of objects; got kind {}", what, value.kind_name());
}

Json* find_member(Json& object, std::string_view key) {
  for (auto& [name, value] : object.object()) {
    if (name == key) return &value;
  }
  return nullptr;
}

void append_tag(Json& text) {
  if (!text.is_string()) raise_type("continue_final_message: kind {} is no text to continue", text.kind_name());
  text = Json(text.string() + std::string(kTag));
}

/// The last part with a text. nullptr: none has one.
Json* last_text(Json& parts) {
  auto& array = parts.array();
  for (auto part = array.rbegin(); part != array.rend(); ++part) {
    if (part->is_object()) {
      if (Json* text = find_member(*part, "text")) return text;
      continue;
    }
    // `"text" in part` in Python: false for other strings and lists, an error for what cannot be searched
    const bool without = (part->is_string() && part->string().find("text") == std::string::npos) || part->is_array();
    if (!without) raise_type("continue_final_message: a part of the message is of kind {}", part->kind_name());
  }
  return nullptr;
}

}  // namespace

void check_conversation(const Json& messages, const Json& tools, const Json& documents) {
  if (!tools.is_null()) check_objects(tools, "tools");
  if (!documents.is_null()) check_objects(documents, "documents");
  check_objects(messages, "messages");
}

void copy_reasoning(Json& message) {
  for (const std::string_view key : kReasoningFields) {
    const Json* found = message.find(key);
    if (found == nullptr || found->is_null()) continue;
    const Json reasoning = *found;
    const Json* given = message.find("thinking");  // stays what it is
    Json::Object out{{"thinking", given != nullptr ? *given : reasoning}};
    for (auto& [name, value] : message.object()) {
      if (name != "thinking") out.emplace_back(name, std::move(value));
    }
    message = Json(std::move(out));
    if (Json* content = find_member(message, "reasoning_content")) {
      *content = reasoning;
    } else {
      message.object().emplace_back("reasoning_content", reasoning);
    }
    return;
  }
}

ContinuedMessage::ContinuedMessage(Json& messages, const Json& wanted, std::string_view source) {
  if (!messages.is_array() || messages.array().empty()) raise_type("continue_final_message: there is no message");
  Json& last = messages.array().back();
  const std::string field = wanted.is_string() ? wanted.string() : "content";
  Json* content = find_member(last, field);
  if (content == nullptr || content->is_null()) {
    raise_type("continue_final_message is set but the final message has no '{}' to continue", field);
  }
  std::vector<std::string_view> fields{field};
  if (std::find(kReasoningFields.begin(), kReasoningFields.end(), field) != kReasoningFields.end()) {
    // Every copy gets the tag: the template may read any of them.
    const std::string same = content->dump();
    fields.clear();
    for (const std::string_view name : kReasoningFields) {
      const Json* copy = find_member(last, name);
      if (copy != nullptr && copy->dump() == same) fields.push_back(name);
    }
  }
  const auto mentioned = [&](std::string_view name) { return source.find(name) != std::string_view::npos; };
  if (std::none_of(fields.begin(), fields.end(), mentioned)) {
    raise_type("continue_final_message is set to '{}', which the template does not read", field);
  }
  if (content->is_string()) original_ = content->string();
  for (const std::string_view name : fields) {
    Json* copy = find_member(last, name);
    if (copy->is_array()) {
      copy = last_text(*copy);
      if (copy == nullptr) {
        raise_type("continue_final_message is set but the final message has no text to continue");
      }
      if (copy->is_string()) original_ = copy->string();
    }
    append_tag(*copy);
  }
}

void ContinuedMessage::cut(std::string& rendered) const {
  const std::string_view stripped = jinja::strip_start(jinja::strip_end(original_));
  const size_t tag = rendered.rfind(kTag.substr(0, kTag.size() - 1));
  if (tag == std::string::npos || rendered.find(stripped) == std::string::npos) {
    raise_type(
        "continue_final_message is set but the final message does not appear in the chat after applying the template");
  }
  const bool whole = std::string_view(rendered).substr(tag).starts_with(kTag);
  rendered.resize(tag);
  // The template strips its messages: so is what is continued.
  if (!whole) rendered.resize(jinja::strip_end(rendered).size());
}

}  // namespace duet
