#include <fmt/core.h>
#include <unistd.h>

#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/model_session.h"
#include "base/file.h"
#include "chat/loaded_model.h"
#include "engine/logit_dump.h"
#include "hub/resolve.h"
#include "model/decoder.h"
#include "terminal/interrupt.h"
#include "terminal/output.h"

namespace duet {
namespace {

constexpr uint64_t kMaxJsonBytes = uint64_t{256} << 20;

struct LogitsArguments {
  std::string model, ids_file, rows_file, out;
  LogitJob job;
  SessionOptions session;
  SyntheticArguments synthetic;
};

Json read_json(const std::string& file) {
  return parse_json(read_text_file(file, kMaxJsonBytes), std::filesystem::path(file).filename().string());
}

void logits(LogitsArguments& arguments, bool json) {
  watch_interrupts();
  Runtime runtime(arguments.session.threads);  // outlives what is packed for its backends
  const std::filesystem::path path = resolve_model(arguments.model);
  const auto synthetic = arguments.synthetic.options();
  LoadedModel model = synthetic ? LoadedModel(path, *synthetic) : LoadedModel(path);
  DecoderOptions arithmetic = choose_arithmetic(arguments.session, model.checkpoint());
  const ModelSpec& spec = model.description().spec;
  LogitJob& job = arguments.job;
  arithmetic.mtp = job.mtp;
  if (job.mtp && !spec.mtp) {
    throw Error(ErrorCode::kUnsupportedFeature, fmt::format("--mtp: {} has no MTP head", model.name()),
                "Qwen3-Next and Qwen3.5 checkpoints have one, unless they were saved without it");
  }
  job.prompts = read_prompts(read_json(arguments.ids_file), arguments.ids_file, spec);
  job.rows = arguments.rows_file.empty() ? all_rows(job.prompts)
                                         : read_rows(read_json(arguments.rows_file), arguments.rows_file, job.prompts);
  LogitDump dump(job, spec, arguments.out);
  LateProgress progress;
  arguments.session.say = [&progress](const std::string& line) { progress.say("duet: note: " + line); };
  const std::string loading = fmt::format("loading {}", model.name());
  Engine engine(load_decoder(model, runtime.backend(arguments.session.backend), arguments.session, arithmetic,
                             [&](int64_t done, int64_t total) { progress.bytes(loading, done, total); }));
  dump.run(engine, throw_if_interrupted,
           [&](int64_t done, int64_t total) { progress.steps("evaluating", done, total); });
  if (json) {
    const Json::Object object{{"out", arguments.out},
                              {"prompts", static_cast<int64_t>(job.prompts.size())},
                              {"rows", static_cast<int64_t>(job.rows.size())},
                              {"vocabulary", spec.vocabulary}};
    Output(STDOUT_FILENO).write(Json(object).dump() + "\n");
  }
}

}  // namespace

void add_logits_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("logits", "write the logits of given token ids into a safetensors file");
  const auto arguments = std::make_shared<LogitsArguments>();
  command->add_option("model", arguments->model, "a name (duet list), a GGUF file, or a Hugging Face folder")
      ->required()
      ->type_name("MODEL");
  command->add_option("--ids-file", arguments->ids_file, "JSON: [[1, 2], [3]] or {\"prompts\": [[1, 2], [3]]}")
      ->required()
      ->type_name("FILE");
  command->add_option("--out", arguments->out, "the safetensors file to write")->required()->type_name("FILE");
  command->add_flag("--hidden", arguments->job.hidden, "also the residual stream: hidden.0, hidden.1 ..., hidden.norm");
  command->add_flag("--mtp", arguments->job.mtp, "also the logits of the head that predicts one token further");
  command
      ->add_option("--greedy", arguments->job.greedy_tokens,
                   "also the N likeliest next ids, one after the other: greedy_ids")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N");
  command->add_option("--rows", arguments->rows_file, "JSON: only these rows, [[prompt, position], ...], in this order")
      ->type_name("FILE");
  command->add_flag("--json", state.json_errors, "print one JSON object");
  arguments->session.activations = "f32";  // what references are compared with
  add_session_options(*command, arguments->session, /*context=*/false);
  add_expert_memory_option(*command, arguments->session);
  add_synthetic_options(*command, arguments->synthetic);
  command->footer(
      "Each sequence stands for itself, from position 0; no BOS is added and no tokenizer is needed. The file holds `logits`\n"
      "F32 [rows, vocabulary] with the rows of all sequences in order, with --hidden `hidden.*` F32 [rows, hidden size], with\n"
      "--mtp `mtp_logits` F32 [rows, vocabulary] (row t predicts token t + 2, given the next one; after the last id the\n"
      "likeliest), with\n"
      "--greedy `greedy_ids` I64 [sequences, N], end tokens ignored. Rows go to the disk as they are computed; after any\n"
      "failure there is no file.\n\n"
      "Examples:\n"
      "  echo '[[504, 3575, 282, 4649, 314]]' > ids.json\n"
      "  duet logits smollm2-135m --ids-file ids.json --out logits.safetensors\n"
      "  duet logits model-folder --ids-file ids.json --out o.safetensors --hidden --greedy 16 --backend ref");
  command->callback([arguments, &state] { logits(*arguments, state.json_errors); });
}

}  // namespace duet
