#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "apps/command.h"
#include "base/error.h"
#include "base/json.h"
#include "hub/resolve.h"

namespace {

/// One line for people, one JSON object for programs; always on stderr.
void print_error(const duet::Error& error, bool json) {
  if (json) {
    fmt::print(stderr, "{{\"error\":{{\"code\":{},\"message\":{},\"hint\":{}}}}}\n",
               duet::json_quote(duet::error_code_name(error.code())), duet::json_quote(error.message()),
               duet::json_quote(error.hint()));
    return;
  }
  fmt::print(stderr, "duet: error: {} [{}]\n", error.message(), duet::error_code_name(error.code()));
  if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
}

/// What is wrong with the command line; the library's own words do not name an unknown command.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const std::string word = argc > 1 ? argv[1] : "";
  if (word.empty() || word.starts_with('-')) return error.what();
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  if (std::find(commands.begin(), commands.end(), word) != commands.end()) return error.what();
  const std::string near = duet::nearest_name(word, commands);
  return fmt::format("there is no command '{}'{}", duet::printable(word),
                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

/// --json before parsing has succeeded: a usage error must be JSON as well.
bool asks_for_json(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json" || argument == "--jsonl") return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a write error, not a silent death
  duet::CommandState state;
  CLI::App app{"Duet runs and compares Qwen and Llama models on your own hardware.", "duet"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "duet " DUET_VERSION);
  app.footer(
      "Examples:\n  duet chat\n  duet run smollm2-135m \"What is the capital of France?\"\n  duet COMMAND --help");
  duet::add_version_command(app, state);
#define DUET_ADD(name) duet::add_##name##_command(app, state);
  DUET_COMMANDS(DUET_ADD)
#undef DUET_ADD
  const bool json = asks_for_json(argc, argv);
  try {
    app.parse(argc, argv);
    return state.exit_status;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    if (argc == 1) {
      fmt::print(stderr, "{}", app.help());
      return 2;
    }
    print_error(duet::Error(duet::ErrorCode::kUsageError, usage_message(app, error, argc, argv),
                            "duet --help lists the commands and options"),
                json);
    return 2;
  } catch (const duet::Error& error) {
    print_error(error, json);
    return error.exit_status();
  } catch (const std::bad_alloc&) {
    print_error(
        duet::Error(duet::ErrorCode::kOutOfMemory, "out of memory", "close other programs or use a smaller model"),
        json);
    return 1;
  } catch (const std::exception& error) {
    print_error(duet::Error(duet::ErrorCode::kIoError, error.what()), json);
    return 1;
  }
}
