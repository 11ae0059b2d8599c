#include <fmt/core.h>

#include <memory>

#include "apps/bench_report.h"
#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/model_session.h"
#include "apps/report_output.h"
#include "base/file.h"
#include "hub/resolve.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

struct BenchArguments {
  std::string model;
  std::vector<std::string> peers;
  std::string text;
  bool markdown = false;
  BenchOptions options;
  SessionOptions session;
  SyntheticArguments synthetic;
};

void run_bench(BenchArguments& arguments, bool json) {
  check_report_flags(json, arguments.markdown);
  watch_interrupts();
  const std::filesystem::path path = resolve_model(arguments.model);
  arguments.session.synthetic = arguments.synthetic.options();
  BenchOptions& options = arguments.options;
  for (const std::string& typed : arguments.peers) options.peers.push_back(parse_peer(typed));
  options.peer_model = path;
  if (!arguments.text.empty()) {
    open_file(arguments.text);  // what is wrong with it is said before anything is measured
    options.divergence = DivergenceOptions{.text = arguments.text};
  }
  if (!options.peers.empty() && std::filesystem::is_directory(path)) {
    fail(ErrorCode::kUsageError, "--against needs a GGUF file, {} is a folder", printable(path.filename().string()));
  }
  arguments.session.text = false;  // prompts are of ids; --kl reads the tokenizer when it comes to it
  BenchResult result;
  with_progress([&](const ReportProgress& progress) {
    result = bench([&](const SessionOptions& session) { return open_session(path, session); }, arguments.session,
                   options, [] { return interrupt_requested().load(); }, progress);
  });
  if (!options.peers.empty() && arguments.session.activations == "auto" && result.activations == "f32") {
    fmt::print(stderr,
               "duet: note: a model of this size is multiplied in float32; the peers round activations to 8 bits, as\n"
               "duet: note: --activations native does\n");
  }
  print_report({.json = [&] { return bench_json(result); },
                .markdown = [&] { return bench_markdown(result); },
                .text = [&](int width, bool bold) { return bench_text(result, width, bold); }},
               json, arguments.markdown);
}

}  // namespace

void add_bench_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("bench", "measure how fast a model runs, beside what this machine can do");
  const auto arguments = std::make_shared<BenchArguments>();
  SpeedPlan& plan = arguments->options.plan;
  const auto count = [&](const char* name, auto& value, int64_t least, const std::string& help) {
    command->add_option(name, value, help)
        ->check(CLI::Range(least, int64_t{1} << 24))
        ->type_name("N")
        ->capture_default_str();
  };
  command->add_option("model", arguments->model, "a name (duet list), a GGUF file, or a Hugging Face folder")
      ->required()
      ->type_name("MODEL");
  count("--prompt", plan.prompt_tokens, 1, "tokens of the prompt (prefill)");
  count("--gen", plan.answer_tokens, 1, "tokens of the answer (decode)");
  count("--depth", plan.depth_tokens, 0, "tokens that stand in the sequence before both");
  count("--parallel", plan.sequences, 1, "sequences that decode together; their tokens are counted together");
  command->add_option("--repetitions", arguments->options.repetitions, "how often everything is measured")
      ->check(CLI::Range(1, 1000))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--against", arguments->peers,
                   "measure llama.cpp=FOLDER or ik_llama.cpp=FOLDER in turns with ours, on the same file, by its\n"
                   "llama-bench (several sequences: llama-batched-bench); may be given more than once")
      ->type_name("NAME=FOLDER")
      ->allow_extra_args(false);
  command
      ->add_option(
          "--kl", arguments->text,
          "also how far the probabilities of the next token lie from those of our f32: over a text of 1,024 tokens\n"
          "or more, of which the first 2,048 count; of ours (native), and of the peers by their llama-perplexity")
      ->type_name("FILE");
  command->add_flag("--md", arguments->markdown, "print Markdown");
  command->add_flag("--json", state.json_errors, "print one JSON object");
  add_session_options(*command, arguments->session, /*context=*/true);
  add_expert_memory_option(*command, arguments->session);
  add_packed_cache_option(*command, arguments->session);
  add_synthetic_options(*command, arguments->synthetic);
  command->footer(
      "Prompts are of tokens at random; a figure is the median of the repetitions. Beside it stands what the machine can\n"
      "do: the bytes that memory gives in a second (measured before each repetition, with large pages and reading ahead),\n"
      "of which decode reads all weights once a step and the keys and values of every sequence, and the multiply-adds\n"
      "of the best instructions that the processor has. Peers keep keys and values as they do by default, f16.\n\n"
      "Examples:\n"
      "  duet bench smollm2-135m --activations native\n"
      "  duet bench model.gguf --prompt 128 --gen 32 --depth 2048 --threads 1 --json\n"
      "  duet bench config.json --synthetic --layers 2\n"
      "  duet bench smollm2-135m --parallel 8 --against llama.cpp=build --against ik_llama.cpp=ik/build --md");
  command->callback([arguments, &state] { run_bench(*arguments, state.json_errors); });
}

}  // namespace duet
