#include "chat/chat_template.h"

#include <array>
#include <cctype>
#include <charconv>
#include <set>

#include "base/utf8.h"
#include "chat/template_call.h"
#include "formats/checkpoint.h"
#include "text/jinja/template.h"

namespace duet {

struct ChatTemplate::State {
  std::string name;
  std::string source;
  jinja::Template program;
};

namespace {

constexpr uint64_t kMaxTemplateBytes = 1 << 20;
constexpr uint64_t kMaxConfigBytes = 16 << 20;  // tokenizer_config.json lists added tokens, too

/// "2026-03-05T14:07:09" (also with a blank for T, without seconds or time, with fractions) as local time.
std::tm parse_time(const std::string& text) {
  std::array<int, 6> fields{};  // year, month, day, hour, minute, second
  constexpr std::array<size_t, 6> kStart{0, 5, 8, 11, 14, 17}, kLength{4, 2, 2, 2, 2, 2};
  size_t count = 0;
  for (; count < 6 && kStart[count] < text.size(); ++count) {
    const char* begin = text.data() + kStart[count];
    const char* end = begin + kLength[count];
    if (kStart[count] + kLength[count] > text.size()) break;
    const auto result = std::from_chars(begin, end, fields[count]);
    if (result.ec != std::errc() || result.ptr != end) break;
  }
  const bool complete = count == 3 ? text.size() == 10 : count == 5 ? text.size() == 16 : count == 6;
  if (!complete || fields[1] < 1 || fields[1] > 12 || fields[2] < 1 || fields[2] > 31 || fields[3] > 23 ||
      fields[4] > 59 || fields[5] > 60) {
    fail(ErrorCode::kBadValue, "now: '{}' is no local ISO time such as 2026-03-05T14:07:09", printable(text));
  }
  std::tm time{};
  time.tm_year = fields[0] - 1900;
  time.tm_mon = fields[1] - 1;
  time.tm_mday = fields[2];
  time.tm_hour = fields[3];
  time.tm_min = fields[4];
  time.tm_sec = fields[5];
  std::tm copy = time;
  copy.tm_isdst = -1;
  copy.tm_hour = 12;  // the calendar day alone decides the day of the week and of the year
  std::mktime(&copy);
  time.tm_wday = copy.tm_wday;
  time.tm_yday = copy.tm_yday;
  return time;
}

void set_member(Json& object, std::string_view key, Json value) {
  for (auto& [name, old] : object.object()) {
    if (name != key) continue;
    old = std::move(value);
    return;
  }
  object.object().emplace_back(std::string(key), std::move(value));
}

bool python_truth(const Json& value) {
  if (value.is_null()) return false;
  if (value.is_bool()) return value.boolean();
  if (value.is_integer()) return value.integer() != 0;
  if (value.is_float()) return value.number() != 0;
  if (value.is_string()) return !value.string().empty();
  if (value.is_array()) return !value.array().empty();
  if (value.is_object()) return !value.object().empty();
  return true;
}

/// Arguments of the call of a template, which its further variables may not replace.
bool is_own_argument(std::string_view name) {
  return name == "messages" || name == "tools" || name == "conversations" || name == "chat_template";
}

[[noreturn]] void rethrow_with_name(const TemplateError& error, const std::string& name) {
  throw TemplateError(error.kind(), error.detail(), name);
}

/// The text of one template of tokenizer_config.json or chat_template.json: a string, or a list of named ones.
std::optional<std::string> choose_template(const Json& config, const std::string& file, bool with_tools) {
  const Json* found = config.find("chat_template");
  if (found == nullptr || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->string();
  if (!found->is_array()) {
    fail(ErrorCode::kBadValue, "{}: chat_template is of kind {}; a string or a list of named templates is wanted", file,
         found->kind_name());
  }
  const Json* chosen = nullptr;
  for (const Json& item : found->array()) {
    const Json* name = item.find("name");
    const Json* text = item.find("template");
    if (name == nullptr || !name->is_string() || text == nullptr || !text->is_string()) {
      fail(ErrorCode::kBadValue, "{}: an entry of chat_template has no name or no template", file);
    }
    if (name->string() == "default" && chosen == nullptr) chosen = text;
    if (name->string() == "tool_use" && with_tools) chosen = text;
  }
  if (chosen == nullptr) fail(ErrorCode::kBadValue, "{}: chat_template has no template named 'default'", file);
  return chosen->string();
}

Json read_json(const std::filesystem::path& path, const std::string& name) {
  Json json = parse_json(read_text_file(path, kMaxConfigBytes), name, {.allow_duplicate_keys = true});
  if (!json.is_object())
    fail(ErrorCode::kBadJson, "{}: the top level is of kind {}, an object is wanted", name, json.kind_name());
  return json;
}

}  // namespace

ChatTemplate ChatTemplate::parse(std::string_view source, std::string name) {
  if (source.size() > kMaxTemplateBytes) {
    fail(ErrorCode::kTooLarge, "{}: the template has {} bytes; at most {} are read", name, source.size(),
         kMaxTemplateBytes);
  }
  if (!is_valid_utf8(source)) fail(ErrorCode::kBadString, "{}: the template is not valid UTF-8", name);
  auto state = std::make_shared<State>();
  try {
    state->program = jinja::Template::parse(source);
  } catch (const TemplateError& error) {
    rethrow_with_name(error, name);
  }
  state->name = std::move(name);
  state->source = source;
  ChatTemplate out;
  out.state_ = std::move(state);
  return out;
}

ChatTemplate ChatTemplate::parse_file(const std::filesystem::path& path, bool with_tools) {
  const std::string name = path.filename().string();
  if (path.extension() != ".json") return parse(read_text_file(path, kMaxTemplateBytes), name);
  std::optional<std::string> text = choose_template(read_json(path, name), name, with_tools);
  if (!text) fail(ErrorCode::kNotFound, "{}: it has no chat_template", name);
  return parse(*text, name);
}

std::optional<ChatTemplate> ChatTemplate::load(const Checkpoint& checkpoint, bool with_tools) {
  if (const GgufMetadata* metadata = checkpoint.metadata()) {
    std::optional<std::string> text;
    if (with_tools) text = metadata->string("tokenizer.chat_template.tool_use");
    if (!text) text = metadata->string("tokenizer.chat_template");
    if (!text) text = metadata->string("tokenizer.chat_template.default");
    if (!text) return std::nullopt;
    return parse(*text, metadata->file_name());
  }
  if (const auto path = checkpoint.folder_file("chat_template.jinja")) {
    return parse(read_text_file(*path, kMaxTemplateBytes), "chat_template.jinja");
  }
  for (const std::string name : {"chat_template.json", "tokenizer_config.json"}) {
    const auto path = checkpoint.folder_file(name);
    if (!path) continue;
    if (std::optional<std::string> text = choose_template(read_json(*path, name), name, with_tools))
      return parse(*text, name);
  }
  return std::nullopt;
}

std::vector<std::pair<std::string, std::string>> special_tokens_of_config(const Json& config) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string name :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    const Json* value = config.find(name);
    if (value != nullptr && value->is_object()) value = value->find("content");
    if (value != nullptr && value->is_string()) out.emplace_back(name, value->string());
  }
  return out;
}

bool ChatTemplate::mentions(std::string_view text) const { return state_->source.find(text) != std::string::npos; }

RenderedText ChatTemplate::render(const TemplateInput& input) const {
  const std::optional<std::tm> now = input.now ? std::optional(parse_time(*input.now)) : std::nullopt;
  try {
    const Json* documents = input.kwargs.find("documents");
    check_conversation(input.messages, input.tools, documents != nullptr ? *documents : Json());
    Json messages = input.messages.is_array() ? input.messages : Json(Json::Array{});
    for (Json& message : messages.array()) copy_reasoning(message);
    std::optional<ContinuedMessage> continued;
    Json variables = Json::Object{};
    for (const auto& [name, value] : input.special_tokens) set_member(variables, name, Json(value));
    set_member(variables, "documents", Json());
    set_member(variables, "add_generation_prompt", Json(false));
    for (const auto& [name, value] : input.kwargs.object()) {
      if (name == "continue_final_message") {
        if (python_truth(value)) continued.emplace(messages, value, state_->source);
      } else if (is_own_argument(name)) {
        jinja::raise_type("'{}' is an argument of its own and cannot be among the variables", name);
      } else {
        set_member(variables, name, value);
      }
    }
    set_member(variables, "messages", std::move(messages));
    set_member(variables, "tools", input.tools.is_array() || input.tools.is_null() ? input.tools : Json(Json::Array{}));
    RenderedText out = render_variables(variables, now);
    if (continued) continued->cut(out.text);
    return out;
  } catch (const TemplateError& error) {
    if (error.detail() != error.message()) throw;
    rethrow_with_name(error, state_->name);
  }
}

RenderedText ChatTemplate::render_context(const Json& context, const std::optional<std::string>& now) const {
  try {
    return render_variables(context, now ? std::optional(parse_time(*now)) : std::nullopt);
  } catch (const TemplateError& error) {
    rethrow_with_name(error, state_->name);
  }
}

RenderedText ChatTemplate::render_variables(const Json& variables, const std::optional<std::tm>& now) const {
  jinja::Template::Rendered rendered = state_->program.render(variables, now);
  RenderedText out{.text = std::move(rendered.text)};
  if (rendered.has_generation) out.generation = std::move(rendered.generation);
  return out;
}

}  // namespace duet
