#include <fmt/core.h>

#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/model_session.h"
#include "apps/thinking_options.h"
#include "base/os_memory.h"
#include "hub/listing.h"
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
  bool no_history = false, resume = false, plain = false;
  SessionOptions session;
  SamplingOptions sampling;
  ThinkingOptions thinking;
};

/// What opens the model again from any folder: a path as an absolute one, a name as it is.
std::string lasting_name(const std::string& name, const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(name, error)) return std::filesystem::absolute(path).lexically_normal().string();
  return name.empty() ? path.stem().string() : name;
}

OpenedModel open_model(const ChatArguments& arguments, const std::string& name, bool beside_another) {
  ProgressDisplay progress(ProgressDisplay::standard_error());
  const auto path = ensure_model(name, progress, [] { return interrupt_requested().load(); });
  if (beside_another) {
    const uint64_t bytes = footprint(path).bytes, available = available_memory_bytes();
    if (bytes > available) {
      throw Error(ErrorCode::kOutOfMemory,
                  fmt::format("{} takes about {}, and beside the model that is open {} are free",
                              path.filename().string(), human_bytes(bytes), human_bytes(available)),
                  fmt::format("leave, then: duet chat {} --continue", name));
    }
  }
  OpenedModel opened;
  opened.session = open_session(path, arguments.session);
  opened.name = lasting_name(name, path);
  print_sampling_warnings(opened.session->model());
  const auto recommended = opened.session->model().recommended_sampling();
  opened.sampling = arguments.sampling.over(recommended.value_or(kDefaultSampling));
  opened.retry_sampling = arguments.sampling.over(recommended.value_or(kRetrySampling));
  return opened;
}

/// The model of a conversation that is resumed may be gone since.
OpenedModel open_resumed(const ChatArguments& arguments, const std::string& name) {
  try {
    return open_model(arguments, name, false);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    throw Error(error.code(), fmt::format("the model of the last conversation: {}", error.message()),
                "duet chat MODEL --continue goes on with another one");
  }
}

void chat(const ChatArguments& arguments) {
  watch_interrupts();
  const std::filesystem::path state = Store::from_environment().home() / "state";
  ChatScreenOptions options;
  if (arguments.resume) {
    std::vector<std::string> problems;
    options.resumed = ChatStore(state / "chats").newest(problems);
    for (const std::string& problem : problems) fmt::print(stderr, "duet: note: passed over: {}\n", problem);
    if (!options.resumed) {
      throw Error(ErrorCode::kNotFound, "there is no conversation to go on with", "duet chat begins one");
    }
  }
  const bool same_model = arguments.model.empty() && options.resumed;
  OpenedModel model =
      same_model ? open_resumed(arguments, options.resumed->model) : open_model(arguments, arguments.model, false);
  arguments.thinking.check(*model.session);
  options.chat = arguments.thinking.over();
  options.sampling_texts = arguments.sampling.texts();
  options.max_new_tokens = arguments.sampling.max_new_tokens;
  options.stop_strings = arguments.sampling.stop_strings;
  options.system = arguments.system;
  options.plain = arguments.plain;
  if (!arguments.no_history) {
    options.history_file = state / "chat_history";
    options.chats_folder = state / "chats";
  }
  options.open_model = [&](const std::string& name) { return open_model(arguments, name, true); };
  options.model_names = [] { return model_names(Store::from_environment(), load_catalog()); };
  ChatScreen(std::move(model), std::move(options)).run();
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
  command->add_flag("--continue", arguments->resume,
                    "go on with the last conversation, with its model unless MODEL is given");
  command->add_flag("--no-history", arguments->no_history,
                    "neither read nor write the history of typed lines, and do not keep the conversation");
  command->add_flag("--plain", arguments->plain, "show answers as they are, without rendering their Markdown");
  add_thinking_options(*command, arguments->thinking, /*turns=*/true);
  add_sampling_options(*command, arguments->sampling);
  add_session_options(*command, arguments->session, /*context=*/true);
  add_expert_memory_option(*command, arguments->session);
  add_packed_cache_option(*command, arguments->session);
  add_speculation_options(*command, arguments->session);
  command->footer(
      "Answers are sampled as the model's makers ask for (generation_config.json of its folder), else as with\n"
      "--temperature 0 --repeat-penalty 1.05, where the same words get the same answer (/regen: with --temperature 0.4\n"
      "--top-p 0.9 --min-p 0.05). Ctrl-C stops an answer, at the prompt twice quickly leaves; Ctrl-D leaves; /help lists the commands.\n"
      "@FILE in a message attaches a text file. What is typed is kept in DUET_HOME/state/chat_history, conversations in\n"
      "DUET_HOME/state/chats (the last 100), for --continue; others cannot read them, and nothing leaves this machine.\n"
      "Without colour (NO_COLOR, TERM=dumb) the marks of Markdown stay as they are written.\n"
      "Away from a terminal each line of standard input is answered once, byte for byte, and nothing is kept.\n\n"
      "Examples:\n"
      "  duet chat\n"
      "  duet chat --continue\n"
      "  duet chat qwen2.5-coder-0.5b --system \"You answer with code only.\"\n"
      "  echo \"What is the capital of France?\" | duet chat");
  command->callback([arguments] { chat(*arguments); });
}

}  // namespace duet
