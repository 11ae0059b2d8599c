#include <unistd.h>

#include <algorithm>

#include "apps/command.h"
#include "base/error.h"
#include "base/json.h"
#include "hub/listing.h"
#include "terminal/output.h"

namespace duet {
namespace {

Json to_json(const ListedModel& model) {
  return Json::Object{{"name", model.name},
                      {"title", model.title},
                      {"family", model.family},
                      {"architecture", model.architecture},
                      {"bytes", static_cast<int64_t>(model.bytes)},
                      {"licence", Json::Object{{"in_file", model.licence.in_file},
                                               {"in_package", model.licence.in_package},
                                               {"model", model.licence.model}}},
                      {"state", model.state},
                      {"detail", model.detail},
                      {"path", model.path.string()},
                      {"default", model.is_default}};
}

std::string table(const std::vector<ListedModel>& models) {
  const auto or_dash = [](const std::string& text) { return text.empty() ? std::string("-") : text; };
  size_t name = 4;
  size_t family = 6;
  size_t state = 5;
  for (const ListedModel& model : models) {
    name = std::max(name, model.name.size());
    family = std::max(family, model.family.size());
    state = std::max(state, model.state.size());
  }
  std::string out = fmt::format("{:<{}}  {:<{}}  {:>8}  {:<{}}  {}\n", "NAME", name, "FAMILY", family, "SIZE", "STATE",
                                state, "LICENCE");
  for (const ListedModel& model : models) {
    out += fmt::format("{:<{}}  {:<{}}  {:>8}  {:<{}}  {}\n", model.name, name, or_dash(model.family), family,
                       human_bytes(model.bytes), model.state, state, or_dash(model.licence.model));
    if (!model.detail.empty()) out += fmt::format("    {}\n", model.detail);
  }
  return out;
}

}  // namespace

void add_list_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("list", "show the models that are here and those that can be pulled");
  command->add_flag("--json", state.json_errors, "print one JSON object for each model, one a line");
  command->footer(
      "States: ready; available (duet pull NAME fetches it); partial (a pull was interrupted: pull again); missing "
      "and\n"
      "changed (the file of an adopted model is gone, or not as it was); damaged (pull again).\n\n"
      "Examples:\n"
      "  duet list\n"
      "  duet list --json");
  command->callback([&state] {
    const std::vector<ListedModel> models = list_models(Store::from_environment(), load_catalog());
    std::string text;
    if (state.json_errors) {
      for (const ListedModel& model : models) text += to_json(model).dump() + "\n";
    } else {
      text = table(models);
    }
    Output(STDOUT_FILENO).write_untrusted(text);
  });
}

}  // namespace duet
