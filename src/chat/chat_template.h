#pragma once

#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace duet {

class Checkpoint;

/// What a template is rendered with (golden/templates/README.md, "How a template is called").
struct TemplateInput {
  /// Which of a model's named templates is meant: see ChatTemplate::load.
  bool has_tools() const { return tools.is_array() && !tools.array().empty(); }

  Json messages = Json::Array{};
  Json tools;                      // array or null
  Json kwargs = Json::Object{};    // add_generation_prompt, enable_thinking, continue_final_message, ...
  std::optional<std::string> now;  // local ISO time for strftime_now; default: the clock
  std::vector<std::pair<std::string, std::string>> special_tokens;  // {"bos_token", "<s>"}, ...
};

struct RenderedText {
  std::string text;
  /// Spans [begin, end) in code points, present where the template has a generation tag.
  std::optional<std::vector<std::pair<int64_t, int64_t>>> generation;
};

/// A model's own chat template. Immutable and thread-safe.
class ChatTemplate {
 public:
  /// Throws template_error, template_limit, too_large (source above 1 MiB). `name` is the file's name for messages.
  static ChatTemplate parse(std::string_view source, std::string name);
  /// The template of a model: GGUF tokenizer.chat_template(.NAME); in a folder chat_template.jinja, chat_template.json,
  /// tokenizer_config.json in this order; of named templates `tool_use` if there are tools, else `default`.
  /// std::nullopt: the model has none.
  static std::optional<ChatTemplate> load(const Checkpoint& checkpoint, bool with_tools);
  /// A .jinja file, or the chat_template of a tokenizer_config.json. Throws not_found when that has none, bad_json, ...
  static ChatTemplate parse_file(const std::filesystem::path& path, bool with_tools);

  /// Whether the template's source has this text anywhere: what a template knows of (a switch, a tag) it names.
  bool mentions(std::string_view text) const;
  /// Throws template_error (also with the text of raise_exception) or template_limit.
  RenderedText render(const TemplateInput& input) const;
  /// Renders with exactly these variables (an object) and no treatment of messages.
  RenderedText render_context(const Json& context, const std::optional<std::string>& now) const;

 private:
  RenderedText render_variables(const Json& variables, const std::optional<std::tm>& now) const;

  struct State;
  std::shared_ptr<const State> state_;
};

/// {"bos_token", "<s>"}, ... as a tokenizer_config.json defines them (strings, or objects with "content").
std::vector<std::pair<std::string, std::string>> special_tokens_of_config(const Json& config);

}  // namespace duet
