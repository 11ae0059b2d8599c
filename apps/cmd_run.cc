#include <fmt/core.h>
#include <unistd.h>

#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/model_session.h"
#include "apps/thinking_options.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "hub/resolve.h"
#include "terminal/input.h"
#include "terminal/interrupt.h"
#include "terminal/output.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

constexpr uint64_t kMaxPromptBytes = uint64_t{64} << 20;

struct RunArguments {
  std::string model, prompt, system;
  std::vector<std::string> files;
  std::string save_state, load_state;
  bool prompt_given = false;
  bool raw = false;
  bool recommended = false;
  int32_t choices = 1;
  int64_t logprobs = -1;
  SessionOptions session;
  SamplingOptions sampling;
  ThinkingOptions thinking;
};

void check_utf8(std::string_view text, std::string_view name) {
  if (is_valid_utf8(text)) return;
  throw Error(ErrorCode::kBadString,
              fmt::format("{}: is not UTF-8 from byte {} on", printable(name), valid_utf8_prefix(text)),
              "a text in another encoding: iconv -f LATIN1 -t UTF-8 FILE | duet run ...");
}

/// The files as they are put before the prompt: each as "File NAME:", an empty line, its text and an empty line; with
/// --raw their text alone.
std::string read_files(const RunArguments& arguments) {
  std::string all;
  for (const std::string& file : arguments.files) {
    const std::string text = read_text_file(file, kMaxPromptBytes);
    check_utf8(text, file);
    if (arguments.raw) {
      all += text;
    } else {
      all += fmt::format("File {}:\n\n{}{}\n", file, text, text.ends_with('\n') ? "" : "\n");
    }
  }
  return all;
}

/// The prompt of the command line, standard input, or both with an empty line between; the files before it.
std::string read_prompt(const RunArguments& arguments) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  const bool from_input = !arguments.prompt_given || arguments.prompt == "-";
  if (from_input && !arguments.prompt_given && terminal && arguments.files.empty()) {
    throw Error(ErrorCode::kUsageError, "run needs a prompt",
                "duet run MODEL \"prompt\", or put the prompt into standard input");
  }
  const std::string files = read_files(arguments);
  std::string input;
  const bool asked_for = arguments.prompt == "-" || (from_input && !terminal);
  if (asked_for || standard_input_is_piped()) input = read_standard_input(kMaxPromptBytes);
  check_utf8(input, "standard input");
  if (!arguments.raw && input.ends_with('\n')) input.pop_back();
  if (!from_input) check_utf8(arguments.prompt, "the prompt");
  std::string prompt = from_input ? input : arguments.prompt;
  if (!from_input && !input.empty()) prompt += (prompt.empty() ? "" : "\n\n") + input;
  prompt = files + prompt;
  if (prompt.empty()) throw Error(ErrorCode::kUsageError, "the prompt is empty", "duet run MODEL \"prompt\"");
  return prompt;
}

/// Prints the answers: their text as it comes, the first one before the second, or one JSON object for each event.
class RunPrinter {
 public:
  RunPrinter(bool json, int32_t choices, uint64_t seed, const Tokenizer& tokenizer)
      : json_(json), seed_(seed), tokenizer_(tokenizer), answers_(static_cast<size_t>(choices)) {}

  void operator()(const TurnsDropped&) {}
  void operator()(const Logprobs& logprobs) {
    if (!json_) return;
    Json::Object object{{"event", "logprobs"}, {"choice", int64_t{logprobs.choice}}};
    describe(object, {logprobs.token.id, logprobs.token.logprob});
    Json::Array alternatives;
    for (const TokenLogprob& other : logprobs.token.alternatives) {
      Json::Object described;
      describe(described, other);
      alternatives.emplace_back(std::move(described));
    }
    object.emplace_back("alternatives", std::move(alternatives));
    print(std::move(object));
  }
  void operator()(const PromptProgress& progress) {
    if (!json_) return;
    print({{"event", "prompt"}, {"done_tokens", progress.done_tokens}, {"total_tokens", progress.total_tokens}});
  }
  void operator()(const TextDelta& delta) { add({.text = delta.text}, delta.choice); }
  void operator()(const ReasoningDelta& delta) { add({.thought = true, .text = delta.text}, delta.choice); }
  void operator()(const Finished& finished) {
    prompt_tokens_ = finished.prompt_tokens;
    reused_tokens_ = finished.reused_tokens;
    full_context_ = full_context_ || finished.reason == FinishReason::kContext;
    cancelled_ = cancelled_ || finished.reason == FinishReason::kCancelled;
    if (!json_) {
      answers_[static_cast<size_t>(finished.choice)].ended = true;
      return show_waiting();
    }
    Json::Array ids;
    for (const TokenId id : finished.ids) ids.emplace_back(static_cast<int64_t>(to_int(id)));
    Json::Object object{
        {"event", "finished"}, {"choice", int64_t{finished.choice}}, {"reason", finish_reason_name(finished.reason)}};
    if (!finished.stop_string.empty()) object.emplace_back("stop_string", finished.stop_string);
    object.emplace_back("prompt_tokens", finished.prompt_tokens);
    if (finished.reused_tokens > 0) object.emplace_back("reused_tokens", finished.reused_tokens);
    object.emplace_back("new_tokens", finished.new_tokens);
    if (finished.thought_tokens > 0) object.emplace_back("thought_tokens", finished.thought_tokens);
    if (finished.drafted_tokens > 0) {
      object.emplace_back("drafted_tokens", finished.drafted_tokens);
      object.emplace_back("accepted_tokens", finished.accepted_tokens);
    }
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
    if (error_) throw Error(*error_);
    if (cancelled_) throw Error(ErrorCode::kCancelled, "interrupted");
  }
  bool full_context() const { return full_context_; }
  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t reused_tokens() const { return reused_tokens_; }

 private:
  struct Piece {
    bool thought = false;
    std::string text;
  };
  struct Waiting {
    std::vector<Piece> pieces;  // of an answer whose turn has not come
    bool ended = false;
  };

  void add(Piece piece, int32_t choice) {
    if (json_) {
      return print(
          {{"event", piece.thought ? "reasoning" : "text"}, {"choice", int64_t{choice}}, {"text", piece.text}});
    }
    if (static_cast<size_t>(choice) != shown_) {
      answers_[static_cast<size_t>(choice)].pieces.push_back(std::move(piece));
      return;
    }
    show(piece);
  }
  /// Away from a terminal a thought is no part of what was asked for.
  void show(const Piece& piece) {
    if (piece.thought && !output_.is_terminal()) return;
    if (in_thought_ && !piece.thought) output_.write("\n\n");
    in_thought_ = piece.thought;
    if (piece.thought) {
      output_.write(output_.dim(visible_controls(piece.text)));
    } else {
      output_.write_untrusted(piece.text);
    }
    line_open_ = !piece.text.ends_with('\n');
  }
  /// Goes on to the next answer that is not over yet.
  void show_waiting() {
    while (shown_ < answers_.size() && answers_[shown_].ended) {
      end_line();
      if (++shown_ == answers_.size()) return;
      output_.write(fmt::format("--- answer {} of {} ---\n", shown_ + 1, answers_.size()));
      for (const Piece& piece : std::exchange(answers_[shown_].pieces, {})) show(piece);
    }
  }
  void describe(Json::Object& object, const TokenLogprob& token) const {
    std::string bytes;
    for (const char c : tokenizer_.token_bytes(token.id)) bytes += fmt::format("{:02x}", static_cast<unsigned char>(c));
    object.emplace_back("id", int64_t{to_int(token.id)});
    object.emplace_back("text", tokenizer_.decode({&token.id, 1}, /*skip_special=*/false));
    object.emplace_back("bytes", std::move(bytes));
    object.emplace_back("logprob", static_cast<double>(token.logprob));
  }
  void print(Json::Object object) { output_.write(Json(std::move(object)).dump() + "\n"); }
  void end_line() {
    if (line_open_) output_.write("\n");
    line_open_ = in_thought_ = false;
  }

  Output output_{STDOUT_FILENO};
  bool json_;
  uint64_t seed_;
  const Tokenizer& tokenizer_;
  std::vector<Waiting> answers_;
  int64_t prompt_tokens_ = 0, reused_tokens_ = 0;  // of the answer that ended last
  size_t shown_ = 0;                               // whose text is printed as it comes
  bool line_open_ = false, in_thought_ = false, full_context_ = false, cancelled_ = false;
  std::optional<Error> error_;
};

SamplingParams sampling_of(const RunArguments& arguments, Session& session) {
  if (!arguments.recommended) return arguments.sampling.over(SamplingParams{});
  const auto recommended = session.model().recommended_sampling();
  if (!recommended) {
    throw Error(ErrorCode::kNotFound, fmt::format("{}: its makers do not say how to sample it", session.model().name()),
                "leave --recommended out, or say how: --temperature 0.7 --top-p 0.9");
  }
  print_sampling_warnings(session.model());
  return arguments.sampling.over(*recommended);
}

void run(const RunArguments& arguments, bool json) {
  if (arguments.raw && !arguments.system.empty()) {
    throw Error(ErrorCode::kUsageError, "--system does not go with --raw",
                "a raw prompt is given to the model as it is");
  }
  if (arguments.raw && arguments.thinking.given()) {
    throw Error(ErrorCode::kUsageError, "--think, --no-think and --think-budget do not go with --raw",
                "a raw prompt is given to the model as it is");
  }
  if (arguments.logprobs >= 0 && !json) {
    throw Error(ErrorCode::kUsageError, "--logprobs needs --json", "only its events have a place for them");
  }
  if (!arguments.save_state.empty() && arguments.choices > 1) {
    throw Error(ErrorCode::kUsageError, "--save-state does not go with --choices", "a state is that of one answer");
  }
  watch_interrupts();
  const std::filesystem::path path = resolve_model(arguments.model);
  const std::string prompt = read_prompt(arguments);
  std::optional<OutputFile> saved;
  if (!arguments.save_state.empty()) saved.emplace(arguments.save_state);  // what is wrong there is said at once
  const auto session = open_session(path, arguments.session);
  if (!arguments.load_state.empty()) session->load_state(arguments.load_state);
  if (!arguments.raw) arguments.thinking.check(*session);
  GenerateRequest request;
  request.sampling = sampling_of(arguments, *session);
  request.sampling_texts = arguments.sampling.texts();
  request.max_new_tokens = arguments.sampling.max_new_tokens;
  request.stop_strings = arguments.sampling.stop_strings;
  request.choices = arguments.choices;
  request.logprobs = arguments.logprobs;
  RunPrinter printer(json, request.choices, request.sampling.seed, session->model().tokenizer());
  const auto sink = [&](const ChatEvent& event) { std::visit(printer, event); };
  if (arguments.raw) {
    request.prompt = session->raw_prompt(prompt);
    session->generate(std::move(request), interrupt_requested(), sink);
  } else {
    Conversation conversation;
    conversation.set_system(arguments.system);
    conversation.add_user(prompt);
    session->chat(conversation.messages(), arguments.thinking.over(), std::move(request), interrupt_requested(), sink);
  }
  printer.check();
  if (!arguments.load_state.empty() && !json) {
    fmt::print(stderr, "duet: note: {} of {} prompt tokens were taken over from {}\n", printer.reused_tokens(),
               printer.prompt_tokens(), printable(arguments.load_state));
  }
  if (saved) {
    const int64_t tokens = session->save_state(*saved);
    saved->commit();
    if (!json)
      fmt::print(stderr, "duet: note: the state of {} tokens is in {}\n", tokens, printable(arguments.save_state));
  }
  if (printer.full_context()) {
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
  command
      ->add_option("--file", arguments->files,
                   "put this file's text before the prompt, under the line \"File PATH:\" (with --raw without it);\n"
                   "may be given more than once")
      ->type_name("PATH")
      ->allow_extra_args(false);
  command
      ->add_option("--save-state", arguments->save_state,
                   "keep what the model has computed of prompt and answer in this file, for --load-state")
      ->type_name("FILE");
  command
      ->add_option(
          "--load-state", arguments->load_state,
          "do not compute again what the prompt has in common, from its beginning, with the prompt and answer\n"
          "whose state is in this file; changes the time and never the text")
      ->type_name("FILE");
  command->add_option("--choices", arguments->choices, "give N answers, each with its own noise (default: 1)")
      ->check(CLI::Range(1, GenerateRequest::kMaxChoices))
      ->type_name("N");
  command
      ->add_option("--logprobs", arguments->logprobs,
                   "with --json: the log-probability of each token and of the N likeliest ones in its place")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31))
      ->type_name("N");
  command->add_flag(
      "--recommended", arguments->recommended,
      "sample as the model's makers ask for (generation_config.json, or general.sampling of a GGUF file)");
  command->add_flag("--json", state.json_errors, "print one JSON object a line: text as it comes, then what it took");
  add_thinking_options(*command, arguments->thinking, /*turns=*/false);
  add_sampling_options(*command, arguments->sampling);
  add_session_options(*command, arguments->session, /*context=*/true);
  add_expert_memory_option(*command, arguments->session);
  add_packed_cache_option(*command, arguments->session);
  add_speculation_options(*command, arguments->session);
  command->footer(
      "A thought is shown dim on a terminal and left out elsewhere; --json has it as events of its own.\n"
      "Without options the answer is greedy (temperature 0): the same prompt always gives the same text. --recommended\n"
      "samples as the makers ask for; options of sampling that are given go before what they say.\n"
      "With a prompt and piped input both are used, the prompt first. Ctrl-C ends the answer, with exit status 130.\n\n"
      "Examples:\n"
      "  duet run smollm2-135m \"What is the capital of France?\"\n"
      "  git diff | duet run qwen2.5-coder-1.5b \"Review this change:\"\n"
      "  duet run model.gguf --raw \"Once upon a time\" -n 50 --temperature 0.8 --seed 7\n"
      "  duet run smollm2-135m \"Name a colour.\" --choices 3 --temperature 1 --seed 7\n"
      "  duet run smollm2-135m --file notes.txt \"Sum this up:\"\n"
      "  duet run smollm2-135m --file book.txt \"Who is the hero?\" --save-state book.state\n"
      "  duet run smollm2-135m --file book.txt \"Where does it end?\" --load-state book.state\n"
      "  duet run smollm2-135m --json --logprobs 5 --stop $'\\n\\n' - < prompt.txt");
  command->callback([arguments, prompt, &state] {
    arguments->prompt_given = prompt->count() > 0;
    run(*arguments, state.json_errors);
  });
}

}  // namespace duet
