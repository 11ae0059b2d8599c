#include <algorithm>
#include <cstdlib>
#include <memory>

#include "apps/command.h"
#include "apps/compare_report.h"
#include "apps/generation_options.h"
#include "apps/model_session.h"
#include "apps/report_output.h"
#include "apps/thinking_options.h"
#include "hub/listing.h"
#include "hub/resolve.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr size_t kMaxModels = 8;
constexpr int64_t kDefaultAnswerTokens = 128;
/// A fact, a step of reasoning, and code: three things that small models differ in.
constexpr const char* kDefaultPrompts[] = {
    "What is the capital of France?",
    "A shop sells pens at 3 for 2 euros. What do 12 pens cost?",
    "Write a Python function that tells whether a number is prime.",
};

struct CompareArguments {
  std::vector<std::string> models, prompts;
  std::string system;
  bool markdown = false, no_answers = false, no_speed = false, no_languages = false;
  SessionOptions session;
  SamplingOptions sampling;
  ThinkingOptions thinking;
};

/// What the store, else the file itself, says of a model's licence; "" when neither does.
std::string licence_of(const std::string& name, const LoadedModel& model) {
  const Catalog catalog = load_catalog();
  if (const auto stored = Store::from_environment().find(canonical_name(name, catalog));
      stored && stored->problem.empty() && !std::filesystem::exists(name) && stored->licence.model != "none") {
    return stored->licence.model;
  }
  if (const GgufMetadata* metadata = model.checkpoint().metadata()) {
    if (const auto licence = metadata->string("general.license")) return *licence;
  }
  return {};
}

void run_compare(const CompareArguments& arguments, bool json) {
  if (arguments.models.size() < 2 || arguments.models.size() > kMaxModels) {
    fail(ErrorCode::kUsageError, "{} model{} named, wanted 2 to {}", arguments.models.size(),
         arguments.models.size() == 1 ? " is" : "s are", kMaxModels);
  }
  check_report_flags(json, arguments.markdown);
  watch_interrupts();
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : arguments.models) paths.push_back(resolve_model(name));
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Session*> pointers;
  std::vector<std::string> licences;
  for (size_t i = 0; i < paths.size(); ++i) {
    sessions.push_back(open_session(paths[i], arguments.session));
    pointers.push_back(sessions.back().get());
    licences.push_back(licence_of(arguments.models[i], sessions.back()->model()));
  }
  CompareOptions options;
  options.prompts = arguments.prompts;
  if (options.prompts.empty()) options.prompts.assign(std::begin(kDefaultPrompts), std::end(kDefaultPrompts));
  if (arguments.no_answers) options.prompts.clear();
  options.system = arguments.system;
  options.chat = arguments.thinking.over();
  options.sampling = arguments.sampling.over(SamplingParams{});
  options.sampling_texts = arguments.sampling.texts();
  options.max_new_tokens =
      arguments.sampling.max_new_tokens > 0 ? arguments.sampling.max_new_tokens : kDefaultAnswerTokens;
  options.stop_strings = arguments.sampling.stop_strings;
  options.measure_speed = !arguments.no_speed;
  options.count_languages = !arguments.no_languages;
  Comparison result;
  with_progress([&](const ReportProgress& progress) {
    result = compare(pointers, licences, options, interrupt_requested(), progress);
  });
  print_report({.json = [&] { return compare_json(result); },
                .markdown = [&] { return compare_markdown(result); },
                .text = [&](int width, bool bold) { return compare_text(result, width, bold); }},
               json, arguments.markdown);
}

}  // namespace

void add_compare_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("compare", "put models side by side");
  const auto arguments = std::make_shared<CompareArguments>();
  command
      ->add_option("models", arguments->models,
                   "two models or more: names (duet list), GGUF files or Hugging Face folders")
      ->required()
      ->type_name("MODEL")
      ->expected(1, -1);
  command
      ->add_option("-p,--prompt", arguments->prompts,
                   "a prompt that every model answers; may be given more than once (default: three of our own)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command->add_option("--system", arguments->system, "the system message of every prompt")->type_name("TEXT");
  command->add_flag("--no-answers", arguments->no_answers, "no prompts");
  command->add_flag("--no-speed", arguments->no_speed, "no measurement of speed");
  command->add_flag("--no-languages", arguments->no_languages, "no counting of tokens by language");
  command->add_flag("--md", arguments->markdown, "print Markdown");
  command->add_flag("--json", state.json_errors, "print one JSON object");
  add_thinking_options(*command, arguments->thinking, /*turns=*/false);
  add_sampling_options(*command, arguments->sampling, std::to_string(kDefaultAnswerTokens));
  add_session_options(*command, arguments->session, /*context=*/true);
  command->footer(
      "Figures of the files and of the loaded models, the speed of reading and writing (medians of runs in turns, A B A\n"
      "B), what a text costs in tokens in each of many languages, and the answers beside each other: greedy and of at\n"
      "most 128 tokens unless the options say otherwise. All models are in memory at the same time. The licence is what\n"
      "the catalogue or the file states.\n\n"
      "Examples:\n"
      "  duet compare smollm2-135m qwen2.5-coder-0.5b\n"
      "  duet compare a.gguf b.gguf -p \"Explain recursion.\" -p \"Translate to German: good morning\" -n 60\n"
      "  duet compare smollm2-135m qwen2.5-coder-0.5b --no-answers --md > comparison.md");
  command->callback([arguments, &state] { run_compare(*arguments, state.json_errors); });
}

}  // namespace duet
