#include <fmt/core.h>
#include <unistd.h>

#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/model_session.h"
#include "base/json.h"
#include "hub/resolve.h"
#include "terminal/input.h"
#include "terminal/interrupt.h"
#include "terminal/output.h"

namespace duet {
namespace {

constexpr uint64_t kMaxPromptBytes = uint64_t{64} << 20;

struct RunArguments {
  std::string model, prompt, system;
  bool prompt_given = false;
  bool raw = false;
  SessionOptions session;
  SamplingOptions sampling;
};

/// The prompt of the command line, standard input, or both with an empty line between.
std::string read_prompt(const RunArguments& arguments) {
  const bool from_input = !arguments.prompt_given || arguments.prompt == "-";
  if (from_input && !arguments.prompt_given && ::isatty(STDIN_FILENO) == 1) {
    throw Error(ErrorCode::kUsageError, "run needs a prompt",
                "duet run MODEL \"prompt\", or put the prompt into standard input");
  }
  std::string input;
  if (from_input || standard_input_is_piped()) input = read_standard_input(kMaxPromptBytes);
  if (!arguments.raw && input.ends_with('\n')) input.pop_back();
  std::string prompt = from_input ? input : arguments.prompt;
  if (!from_input && !input.empty()) prompt += (prompt.empty() ? "" : "\n\n") + input;
  if (prompt.empty()) throw Error(ErrorCode::kUsageError, "the prompt is empty", "duet run MODEL \"prompt\"");
  return prompt;
}

/// Prints the answer: its text as it comes, or one JSON object for each event.
class RunPrinter {
 public:
  RunPrinter(bool json, uint64_t seed) : json_(json), seed_(seed) {}

  void operator()(const TurnsDropped&) {}
  void operator()(const Logprobs&) {}
  void operator()(const PromptProgress& progress) {
    if (!json_) return;
    print({{"event", "prompt"}, {"done_tokens", progress.done_tokens}, {"total_tokens", progress.total_tokens}});
  }
  void operator()(const TextDelta& delta) {
    if (json_) return print({{"event", "text"}, {"text", delta.text}});
    output_.write_untrusted(delta.text);
    line_open_ = !delta.text.ends_with('\n');
  }
  void operator()(const ReasoningDelta& delta) {
    if (json_) return print({{"event", "reasoning"}, {"text", delta.text}});
    output_.write_untrusted(delta.text);
    line_open_ = !delta.text.ends_with('\n');
  }
  void operator()(const Finished& finished) {
    reason_ = finished.reason;
    end_line();
    if (!json_) return;
    Json::Array ids;
    for (const TokenId id : finished.ids) ids.emplace_back(static_cast<int64_t>(to_int(id)));
    Json::Object object{{"event", "finished"}, {"reason", finish_reason_name(finished.reason)}};
    if (!finished.stop_string.empty()) object.emplace_back("stop_string", finished.stop_string);
    object.emplace_back("prompt_tokens", finished.prompt_tokens);
    object.emplace_back("new_tokens", finished.new_tokens);
    object.emplace_back("prompt_seconds", finished.prompt_seconds);
    object.emplace_back("answer_seconds", finished.answer_seconds);
    object.emplace_back("prompt_tok_per_s", prompt_tokens_per_second(finished));
    object.emplace_back("tok_per_s", answer_tokens_per_second(finished));
    object.emplace_back("seed", Json::BigInteger{std::to_string(seed_)});
    object.emplace_back("ids", std::move(ids));
    print(std::move(object));
  }
  void operator()(const Failed& failed) {
    error_ = failed.error;
    end_line();
    if (!json_) return;
    print({{"event", "failed"}, {"code", error_code_name(failed.error.code())}, {"message", failed.error.message()}});
  }

  /// Throws what ended the request other than an answer.
  void check() const {
    if (error_) throw *error_;
    if (reason_ == FinishReason::kCancelled) throw Error(ErrorCode::kCancelled, "interrupted");
  }
  FinishReason reason() const { return reason_; }

 private:
  void print(Json::Object object) { output_.write(Json(std::move(object)).dump() + "\n"); }
  void end_line() {
    if (line_open_) output_.write("\n");
    line_open_ = false;
  }

  Output output_{STDOUT_FILENO};
  bool json_;
  uint64_t seed_;
  bool line_open_ = false;
  std::optional<Error> error_;
  FinishReason reason_ = FinishReason::kStop;
};

void run(const RunArguments& arguments, bool json) {
  if (arguments.raw && !arguments.system.empty()) {
    throw Error(ErrorCode::kUsageError, "--system does not go with --raw",
                "a raw prompt is given to the model as it is");
  }
  check_activations(arguments.session.activations);
  watch_interrupts();
  const std::filesystem::path path = resolve_model(arguments.model);
  const std::string prompt = read_prompt(arguments);
  const auto session = open_session(path, arguments.session);
  GenerateRequest request;
  request.sampling = arguments.sampling.over(SamplingParams{});
  request.max_new_tokens = arguments.sampling.max_new_tokens;
  request.stop_strings = arguments.sampling.stop_strings;
  RunPrinter printer(json, request.sampling.seed);
  const auto sink = [&](const ChatEvent& event) { std::visit(printer, event); };
  if (arguments.raw) {
    request.prompt = session->raw_prompt(prompt);
    session->generate(std::move(request), interrupt_requested(), sink);
  } else {
    Conversation conversation;
    conversation.set_system(arguments.system);
    conversation.add_user(prompt);
    session->chat(conversation.messages(), {}, std::move(request), interrupt_requested(), sink);
  }
  printer.check();
  if (printer.reason() == FinishReason::kContext) {
    fmt::print(stderr, "duet: note: the answer ends here because the context of {} tokens is full\n",
               session->context_tokens());
  }
}

}  // namespace

void add_run_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("run", "answer one prompt and end");
  const auto arguments = std::make_shared<RunArguments>();
  command->add_option("model", arguments->model, "a name (duet list), a GGUF file, or a Hugging Face folder")
      ->required()
      ->type_name("MODEL");
  CLI::Option* prompt =
      command->add_option("prompt", arguments->prompt, "the prompt; absent or -: read from standard input")
          ->type_name("PROMPT");
  command->add_option("--system", arguments->system, "the system message")->type_name("TEXT");
  command->add_flag("--raw", arguments->raw,
                    "no chat template: the prompt is given to the model as it is, special tokens in it are recognised");
  command->add_flag("--json", state.json_errors, "print one JSON object a line: text as it comes, then what it took");
  add_sampling_options(*command, arguments->sampling);
  add_session_options(*command, arguments->session, /*context=*/true);
  command->footer(
      "Without options the answer is greedy (temperature 0): the same prompt always gives the same text.\n"
      "With a prompt and piped input both are used, the prompt first. Ctrl-C ends the answer, with exit status 130.\n\n"
      "Examples:\n"
      "  duet run smollm2-135m \"What is the capital of France?\"\n"
      "  git diff | duet run qwen2.5-coder-1.5b \"Review this change:\"\n"
      "  duet run model.gguf --raw \"Once upon a time\" -n 50 --temperature 0.8 --seed 7\n"
      "  duet run smollm2-135m --json --stop \"\\n\\n\" - < prompt.txt");
  command->callback([arguments, prompt, &state] {
    arguments->prompt_given = prompt->count() > 0;
    run(*arguments, state.json_errors);
  });
}

}  // namespace duet
