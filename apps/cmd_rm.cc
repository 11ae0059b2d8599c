#include <unistd.h>

#include <memory>

#include "apps/command.h"
#include "base/error.h"
#include "base/json.h"
#include "base/progress.h"
#include "hub/listing.h"
#include "terminal/output.h"

namespace duet {
namespace {

std::string removed_text(const Removed& removed, bool json) {
  if (json) {
    return Json(Json::Object{{"name", removed.name},
                             {"freed_bytes", static_cast<int64_t>(removed.freed_bytes)},
                             {"kept", removed.kept.string()}})
               .dump() +
           "\n";
  }
  if (!removed.kept.empty())
    return fmt::format("{} is forgotten; {} is left alone\n", removed.name, removed.kept.string());
  if (removed.shared) {
    return fmt::format("{} is removed; its bytes stay, as another model needs them or cannot be read\n", removed.name);
  }
  return fmt::format("{} is removed, {} are free again\n", removed.name, human_bytes(removed.freed_bytes));
}

}  // namespace

void add_rm_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("rm", "remove a model from this machine");
  const auto name = std::make_shared<std::string>();
  command->add_option("name", *name, "a model that duet list shows")->type_name("NAME")->required();
  command->add_flag("--json", state.json_errors, "print one JSON object");
  command->footer(
      "Asks nothing. Removes the file that was pulled and what an interrupted pull left; of an adopted file or folder "
      "only\n"
      "the name is forgotten.\n\n"
      "Examples:\n"
      "  duet rm qwen2.5-coder-1.5b\n"
      "  duet rm mine --json");
  command->callback([name, &state] {
    const Removed removed = remove_model(*name, Store::from_environment(), load_catalog());
    Output(STDOUT_FILENO).write_untrusted(removed_text(removed, state.json_errors));
  });
}

}  // namespace duet
