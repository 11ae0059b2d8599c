#include <unistd.h>

#include <string>

#include "apps/command.h"
#include "terminal/output.h"

namespace duet {

void add_version_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("version", "print the version of duet");
  command->add_flag("--json", state.json_errors, "print one JSON object");
  command->callback([&state] {
    const std::string text =
        state.json_errors ? R"({"name":"duet","version":")" DUET_VERSION R"("})" : "duet " DUET_VERSION;
    Output(STDOUT_FILENO).write(text + "\n");
  });
}

}  // namespace duet
