#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/model_session.h"
#include "hub/pull.h"
#include "hub/store.h"
#include "terminal/chat_screen.h"
#include "terminal/interrupt.h"
#include "terminal/progress.h"

namespace duet {
namespace {

/// Where a model's makers say nothing. The likeliest token, because small models know little beyond it (SmolLM2-135M
/// gives "The" 15 % and "L" 14 % as the first token on France's capital); the penalty ends the loops that this leads
/// to.
constexpr SamplingParams kDefaultSampling{.temperature = 0.0f, .repetition_penalty = 1.05f};
/// For /regen there: another answer is what it is for.
constexpr SamplingParams kRetrySampling{
    .temperature = 0.4f, .top_k = 0, .top_p = 0.9f, .min_p = 0.05f, .repetition_penalty = 1.05f};

struct ChatArguments {
  std::string model, system;
  bool no_history = false;
  SessionOptions session;
  SamplingOptions sampling;
};

void chat(const ChatArguments& arguments) {
  watch_interrupts();
  ProgressDisplay progress(ProgressDisplay::standard_error());
  const auto path = ensure_model(arguments.model, progress, [] { return interrupt_requested().load(); });
  const auto session = open_session(path, arguments.session);
  ChatScreenOptions options;
  const auto recommended = session->model().recommended_sampling();
  options.sampling = arguments.sampling.over(recommended.value_or(kDefaultSampling));
  options.retry_sampling = arguments.sampling.over(recommended.value_or(kRetrySampling));
  options.sampling_texts = arguments.sampling.texts();
  print_sampling_warnings(session->model());
  options.max_new_tokens = arguments.sampling.max_new_tokens;
  options.stop_strings = arguments.sampling.stop_strings;
  options.system = arguments.system;
  if (!arguments.no_history) options.history_file = Store::from_environment().home() / "state" / "chat_history";
  ChatScreen(*session, std::move(options)).run();
}

}  // namespace

void add_chat_command(CLI::App& app, CommandState&) {
  CLI::App* command = app.add_subcommand("chat", "talk with a model");
  const auto arguments = std::make_shared<ChatArguments>();
  command
      ->add_option(
          "model", arguments->model,
          "a name (duet list), a GGUF file, or a Hugging Face folder; default: the catalogue's default, which is\n"
          "fetched once, saying so, when it is not here")
      ->type_name("MODEL");
  command->add_option("--system", arguments->system, "the system message")->type_name("TEXT");
  command->add_flag("--no-history", arguments->no_history, "neither read nor write the history of typed lines");
  add_sampling_options(*command, arguments->sampling);
  add_session_options(*command, arguments->session, /*context=*/true);
  command->footer(
      "Answers are sampled as the model's makers ask for (generation_config.json of its folder), else as with\n"
      "--temperature 0 --repeat-penalty 1.05, where the same words get the same answer (/regen: with --temperature 0.4\n"
      "--top-p 0.9 --min-p 0.05). Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands.\n"
      "What is typed is kept in DUET_HOME/state/chat_history, what is answered is not.\n"
      "Away from a terminal each line of standard input is answered once.\n\n"
      "Examples:\n"
      "  duet chat\n"
      "  duet chat qwen2.5-coder-0.5b --system \"You answer with code only.\"\n"
      "  echo \"What is the capital of France?\" | duet chat");
  command->callback([arguments] { chat(*arguments); });
}

}  // namespace duet
