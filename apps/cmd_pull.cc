#include <unistd.h>

#include <memory>

#include "apps/command.h"
#include "base/error.h"
#include "base/json.h"
#include "formats/checkpoint.h"
#include "hub/pull.h"
#include "model/registry.h"
#include "terminal/interrupt.h"
#include "terminal/output.h"
#include "terminal/progress.h"

namespace duet {
namespace {

struct PullArguments {
  std::string name, path, adopted_name;
};

std::string result_text(const Pulled& pulled, bool json) {
  const bool adopted = !pulled.model.adopted.empty();
  if (json) {
    Json::Object object{{"name", pulled.model.name},
                        {"state", adopted          ? "adopted"
                                  : pulled.fetched ? "pulled"
                                                   : "present"},
                        {"path", pulled.path.string()},
                        {"bytes", static_cast<int64_t>(pulled.model.bytes)}};
    if (!adopted) object.emplace_back("sha256", pulled.model.sha256);
    return Json(object).dump() + "\n";
  }
  if (adopted) {
    return fmt::format("{} stands for {} ({}); nothing was copied\n", pulled.model.name, pulled.path.string(),
                       human_bytes(pulled.model.bytes));
  }
  return fmt::format("{} is {}, its SHA-256 is right: {}\n", pulled.model.name,
                     pulled.fetched ? "ready" : "here already", pulled.path.string());
}

/// What lists show of a file or folder of the user's, as it says of itself. Throws what opening a damaged one throws;
/// one that is whole but not understood may be adopted, since `inspect` can use it.
StoredModel describe_adopted(const std::filesystem::path& path, ProgressSink& progress) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  StoredModel model;
  std::string licence;
  if (const GgufMetadata* metadata = checkpoint.metadata()) {
    model.title = printable(metadata->string("general.name").value_or(""), 200);
    model.architecture = printable(metadata->string("general.architecture").value_or(""), 60);
    licence = printable(metadata->string("general.license").value_or(""), 200);
  } else if (const Json* type = checkpoint.config() != nullptr ? checkpoint.config()->find("model_type") : nullptr) {
    if (type->is_string()) model.architecture = printable(type->string(), 60);
  }
  model.licence = {licence.empty() ? "none" : "general.license = " + licence, "none",
                   licence.empty() ? "not stated" : licence};
  try {
    model.family = describe_model(checkpoint).spec.family;
  } catch (const Error& error) {
    progress.say(fmt::format("note: this is no model that duet can run: {}", error.message()));
  }
  return model;
}

void pull(const PullArguments& arguments, bool json) {
  if (arguments.name.empty() == arguments.path.empty()) {
    throw Error(ErrorCode::kUsageError, "pull takes either the name of a model or --path",
                "duet list shows what can be pulled; duet pull --help shows examples");
  }
  if (!arguments.adopted_name.empty() && arguments.path.empty()) {
    throw Error(ErrorCode::kUsageError, "--name goes with --path", "duet pull --path FILE --name NAME");
  }
  const Store store = Store::from_environment();
  const Catalog catalog = load_catalog();
  const Output out(STDOUT_FILENO);
  ProgressDisplay progress(ProgressDisplay::standard_error());
  if (!arguments.path.empty()) {
    StoredModel model = describe_adopted(arguments.path, progress);
    model.name = arguments.adopted_name;
    out.write_untrusted(result_text(adopt_model(arguments.path, model, store, catalog), json));
    return;
  }
  watch_interrupts();
  const FetchContext context{progress, [] { return interrupt_requested().load(); }};
  out.write_untrusted(result_text(pull_model(arguments.name, store, catalog, context), json));
}

}  // namespace

void add_pull_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("pull", "fetch a model of the catalogue, or give a file of yours a name");
  const auto arguments = std::make_shared<PullArguments>();
  command->add_option("name", arguments->name, "a model of the catalogue (duet list)")->type_name("NAME");
  command->add_option("--path", arguments->path, "adopt this file or folder: remember where it is, copy nothing")
      ->type_name("PATH");
  command->add_option("--name", arguments->adopted_name, "the name for --path (default: made from the file's)")
      ->type_name("NAME");
  command->add_flag("--json", state.json_errors, "print one JSON object");
  command->footer(
      "Uses the network (through the machine's own pip) only for the model that is named, and says first how large it "
      "is,\n"
      "under which licence and from where. A file is checked by its SHA-256 before it can be used. An interrupted pull "
      "goes\n"
      "on where it stopped. Models lie in DUET_HOME (default ~/.local/share/duet).\n\n"
      "Examples:\n"
      "  duet pull smollm2-135m\n"
      "  duet pull --path ~/models/my-model.gguf --name mine\n"
      "  DUET_HOME=/big/disk duet pull qwen2.5-coder-1.5b");
  command->callback([arguments, &state] { pull(*arguments, state.json_errors); });
}

}  // namespace duet
