#include <unistd.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "apps/command.h"
#include "apps/jsonl.h"
#include "base/file.h"
#include "base/json.h"
#include "chat/chat_template.h"
#include "formats/checkpoint.h"
#include "hub/resolve.h"
#include "terminal/output.h"
#include "text/jinja/template_error.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

constexpr uint64_t kMaxMessagesBytes = 64 << 20;
constexpr JsonLimits kRecordLimits{.allow_duplicate_keys = true};

using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

struct TemplateOptions {
  std::string source;
  std::string text;
  std::string messages_file;
  std::string tools_file;
  bool generation_prompt = false;
};

/// Templates by place: a .jinja file, a tokenizer_config.json, a model, or (for "-") only those in the records.
class TemplateSource {
 public:
  explicit TemplateSource(const std::string& name) {
    if (name == "-") return;
    path_ = name;
    const std::string extension = path_.extension().string();
    if (std::filesystem::is_regular_file(path_) &&
        (extension == ".jinja" || extension == ".j2" || extension == ".json")) {
      file_ = true;
      if (extension == ".json") {
        special_tokens_ = special_tokens_of_config(
            parse_json(read_text_file(path_, kMaxMessagesBytes), path_.filename().string(), kRecordLimits));
      }
      return;
    }
    checkpoint_ = Checkpoint::open(resolve_model(name));
  }

  /// Loaded on first use: a template that does not parse is an error of each record that needs it.
  const ChatTemplate& get(bool with_tools) {
    if (path_.empty())
      fail(ErrorCode::kUsageError, "the record has no template, and '-' stands in the place of a model or file");
    auto& slot = templates_[with_tools];
    if (!slot) {
      if (file_) {
        slot = ChatTemplate::parse_file(path_, with_tools);
      } else {
        slot = ChatTemplate::load(*checkpoint_, with_tools);
        if (!slot) fail(ErrorCode::kNotFound, "{}: the model has no chat template", checkpoint_->name());
      }
    }
    return *slot;
  }

  const SpecialTokens& special_tokens() {
    if (!special_tokens_) special_tokens_ = checkpoint_ ? model_tokens() : SpecialTokens{};
    return *special_tokens_;
  }

 private:
  SpecialTokens model_tokens() const {
    try {
      return load_tokenizer(*checkpoint_)->special_token_strings();
    } catch (const Error& error) {
      // A template can be rendered without a tokenizer: the configuration alone names the strings, too.
      if (error.code() != ErrorCode::kNotFound && error.code() != ErrorCode::kMissingKey) throw;
    }
    const auto path = checkpoint_->folder_file("tokenizer_config.json");
    if (!path) return {};
    return special_tokens_of_config(
        parse_json(read_text_file(*path, kMaxMessagesBytes), "tokenizer_config.json", kRecordLimits));
  }

  std::filesystem::path path_;
  bool file_ = false;
  std::optional<Checkpoint> checkpoint_;
  std::map<bool, std::optional<ChatTemplate>> templates_;
  std::optional<SpecialTokens> special_tokens_;
};

const Json* member(const Json& record, std::string_view key) {
  const Json* found = record.find(key);
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::optional<std::string> time_of(const Json& record) {
  const Json* now = member(record, "now");
  if (now == nullptr) return std::nullopt;
  if (!now->is_string())
    fail(ErrorCode::kBadValue, "now is of kind {}; local ISO time as a string is wanted", now->kind_name());
  return now->string();
}

SpecialTokens tokens_of(const Json& tokens) {
  if (!tokens.is_object())
    fail(ErrorCode::kBadValue, "special_tokens is of kind {}; an object is wanted", tokens.kind_name());
  SpecialTokens out;
  for (const auto& [name, value] : tokens.object()) {
    if (value.is_null()) continue;  // undefined
    if (!value.is_string()) {
      fail(ErrorCode::kBadValue, "special_tokens: '{}' is of kind {}; a string is wanted", printable(name),
           value.kind_name());
    }
    out.emplace_back(name, value.string());
  }
  return out;
}

RenderedText render_record(TemplateSource& source, const Json& record) {
  const Json* own = member(record, "template");
  if (own != nullptr && !own->is_string())
    fail(ErrorCode::kBadValue, "template is of kind {}; a string is wanted", own->kind_name());
  if (own != nullptr && record.find("messages") == nullptr) {
    const Json* context = member(record, "context");
    const Json variables = context != nullptr ? *context : Json(Json::Object{});
    if (!variables.is_object())
      fail(ErrorCode::kBadValue, "context is of kind {}; an object is wanted", variables.kind_name());
    return ChatTemplate::parse(own->string(), "template").render_context(variables, time_of(record));
  }
  TemplateInput input;
  if (const Json* tools = member(record, "tools")) input.tools = *tools;
  if (const Json* kwargs = member(record, "kwargs")) {
    if (!kwargs->is_object())
      fail(ErrorCode::kBadValue, "kwargs is of kind {}; an object is wanted", kwargs->kind_name());
    input.kwargs = *kwargs;
  }
  if (const Json* prompt = record.find("add_generation_prompt");
      prompt != nullptr && input.kwargs.find("add_generation_prompt") == nullptr) {
    input.kwargs.object().emplace_back("add_generation_prompt", *prompt);
  }
  input.now = time_of(record);
  const std::optional<ChatTemplate> parsed =
      own != nullptr ? std::optional(ChatTemplate::parse(own->string(), "template")) : std::nullopt;
  const ChatTemplate& chosen = parsed ? *parsed : source.get(input.has_tools());
  const Json* messages = record.find("messages");  // a fault of the template is said before one of the record
  if (messages == nullptr) fail(ErrorCode::kMissingKey, "the record has neither 'messages' nor 'template'");
  input.messages = *messages;
  const Json* tokens = member(record, "special_tokens");
  input.special_tokens = tokens != nullptr ? tokens_of(*tokens) : source.special_tokens();
  return chosen.render(input);
}

Json answer(const RenderedText& rendered) {
  Json::Object out{{"text", Json(rendered.text)}};
  if (rendered.generation) {
    Json::Array spans;
    for (const auto& [begin, end] : *rendered.generation) spans.push_back(Json::Array{Json(begin), Json(end)});
    out.emplace_back("generation", std::move(spans));
  }
  return out;
}

Json failure(const Error& error) {
  const auto* of_template = dynamic_cast<const TemplateError*>(&error);
  if (of_template == nullptr) return jsonl_failure(error);
  // A raised message is the template's own answer to its user; the file's name would only blur it.
  const bool raised = of_template->kind() == TemplateErrorKind::kRaised;
  return Json::Object{{"error", Json(raised ? of_template->detail() : error.message())},
                      {"error_kind", Json(template_error_kind_name(of_template->kind()))},
                      {"code", Json(error_code_name(error.code()))}};
}

void render_plain(TemplateSource& source, const TemplateOptions& options) {
  TemplateInput input;
  if (!options.messages_file.empty()) {
    Json json =
        parse_json(read_text_file(options.messages_file, kMaxMessagesBytes), options.messages_file, kRecordLimits);
    if (const Json* messages = json.find("messages")) {
      input.messages = *messages;
      if (const Json* tools = json.find("tools")) input.tools = *tools;
    } else {
      input.messages = std::move(json);
    }
  } else {
    input.messages = Json::Array{Json(Json::Object{{"role", Json("user")}, {"content", Json(options.text)}})};
  }
  if (!options.tools_file.empty())
    input.tools = parse_json(read_text_file(options.tools_file, kMaxMessagesBytes), options.tools_file, kRecordLimits);
  input.kwargs.object().emplace_back("add_generation_prompt", Json(options.generation_prompt));
  const ChatTemplate& chosen = source.get(input.has_tools());
  input.special_tokens = source.special_tokens();
  Output(STDOUT_FILENO).write_untrusted(chosen.render(input).text);
}

}  // namespace

void add_template_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("template", "render a model's chat template");
  auto options = std::make_shared<TemplateOptions>();
  auto jsonl = std::make_shared<bool>(false);
  command
      ->add_option(
          "model", options->source,
          "a name (duet list), a GGUF file, a Hugging Face folder, a .jinja file, a tokenizer_config.json, or -\n"
          "where each record of --jsonl brings its own template")
      ->required()
      ->type_name("MODEL");
  command->add_option("text", options->text, "the message of a user")->type_name("TEXT");
  command
      ->add_option("--messages", options->messages_file,
                   "JSON file: a list of messages, or an object with messages and tools")
      ->type_name("FILE");
  command->add_option("--tools", options->tools_file, "JSON file: a list of tools")->type_name("FILE");
  command->add_flag("--generation-prompt,!--no-generation-prompt", options->generation_prompt,
                    "end with the head of the answer");
  command->add_flag("--jsonl", *jsonl, "read records from standard input, write one line for each");
  command->add_flag("--json", state.json_errors, "print errors as JSON");
  command->footer(
      "Examples:\n"
      "  duet template smollm2-135m \"Hello\" --generation-prompt\n"
      "  duet template FOLDER --messages chat.json\n"
      "  echo '{\"template\": \"{{ 1 + 1 }}\", \"context\": {}}' | duet template - --jsonl");
  command->callback([options, jsonl, &state] {
    state.json_errors = state.json_errors || *jsonl;
    TemplateSource source(options->source);
    if (*jsonl) {
      if (!options->text.empty()) fail(ErrorCode::kUsageError, "--jsonl reads standard input; remove the text");
      const auto render = [&](const Json& record) { return answer(render_record(source, record)); };
      if (!answer_jsonl({render, failure, kRecordLimits})) state.exit_status = 1;
      return;
    }
    if (options->text.empty() && options->messages_file.empty()) {
      fail(ErrorCode::kUsageError, "give a text, --messages FILE or --jsonl");
    }
    render_plain(source, *options);
  });
}

}  // namespace duet
