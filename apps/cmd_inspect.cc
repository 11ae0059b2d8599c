#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/inspect_report.h"
#include "base/error.h"
#include "formats/checkpoint.h"
#include "formats/export_tensor.h"
#include "hub/resolve.h"
#include "model/generation_config.h"
#include "model/registry.h"
#include "model/synthetic.h"
#include "terminal/output.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

struct InspectOptions {
  std::string model;
  std::string tensor;
  std::string out;
  bool list_tensors = false;
  SyntheticArguments synthetic;
};

const TensorEntry& require_tensor(const Checkpoint& checkpoint, const std::string& name) {
  const TensorEntry* entry = checkpoint.find(name);
  if (entry == nullptr) {
    throw Error(ErrorCode::kMissingTensor, fmt::format("{}: no tensor '{}'", checkpoint.name(), printable(name)),
                "duet inspect FILE --tensors lists the names");
  }
  return *entry;
}

/// A tokenizer that is there must be whole; a model without one is used with ids.
void judge_tokenizer(const Checkpoint& checkpoint) {
  try {
    load_tokenizer(checkpoint);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
  }
}

void inspect(const InspectOptions& options, bool json) {
  const std::filesystem::path path = resolve_model(options.model);
  const bool judge_model = options.tensor.empty() && !options.list_tensors;
  const auto synthetic = options.synthetic.options();
  const Checkpoint checkpoint =
      synthetic ? open_synthetic(path, *synthetic) : Checkpoint::open(path, {.config = judge_model});
  if (!options.tensor.empty()) {
    export_tensor(checkpoint, require_tensor(checkpoint, options.tensor), options.out);
    return;
  }
  const Json report = inspect_report(checkpoint, options.list_tensors);
  Output(STDOUT_FILENO).write_untrusted(json ? report.dump() + "\n" : inspect_text(report));
  // Whether Duet can run it is said last: what the file holds is shown whatever its architecture. A list of tensors, or
  // one of them, is wanted of files without a model as well.
  if (judge_model && checkpoint.kind() != CheckpointKind::kSafetensors) {
    const ModelDescription model = describe_model(checkpoint);
    std::vector<std::string> warnings = model.warnings;
    const GenerationConfig generation = read_generation_config(checkpoint, model.spec.vocabulary);
    warnings.insert(warnings.end(), generation.warnings.begin(), generation.warnings.end());
    for (const std::string& note : model.notes) fmt::print(stderr, "duet: note: {}\n", note);
    for (const std::string& warning : warnings) fmt::print(stderr, "duet: warning: {}\n", warning);
    judge_tokenizer(checkpoint);
  }
}

}  // namespace

void add_inspect_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("inspect", "show what a model file or folder holds, and check it");
  auto options = std::make_shared<InspectOptions>();
  command->add_option("model", options->model, "GGUF file, safetensors file or index, folder, or catalogue name")
      ->required()
      ->type_name("MODEL");
  CLI::Option* list = command->add_flag("--tensors", options->list_tensors, "list every tensor");
  CLI::Option* tensor =
      command->add_option("--tensor", options->tensor, "the tensor to write to --out, dequantized to F32");
  CLI::Option* out = command->add_option("--out", options->out, "the safetensors file to write");
  tensor->needs(out)->excludes(list);
  out->needs(tensor);
  add_synthetic_options(*command, options->synthetic);
  command->add_flag("--json", state.json_errors, "print one JSON object");
  command->footer(
      "Examples:\n  duet inspect smollm2-135m\n  duet inspect model.gguf --tensors\n"
      "  duet inspect model.gguf --tensor token_embd.weight --out embedding.safetensors");
  command->callback([options, &state] { inspect(*options, state.json_errors); });
}

}  // namespace duet
