#include <fmt/core.h>

#include "apps/command.h"

namespace duet {

void add_version_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("version", "print the version of duet");
  command->add_flag("--json", state.json_errors, "print one JSON object");
  command->callback([&state] {
    if (state.json_errors) {
      fmt::print("{{\"name\":\"duet\",\"version\":\"{}\"}}\n", DUET_VERSION);
    } else {
      fmt::print("duet {}\n", DUET_VERSION);
    }
  });
}

}  // namespace duet
