#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/command.h"
#include "base/error.h"
#include "hub/listing.h"
#include "terminal/output.h"

namespace duet {
namespace {

// Each script asks the program itself what fits, by its full path: completing must never start the launcher's build.
constexpr std::string_view kBash = R"(_duet() {{
  mapfile -t COMPREPLY < <({0} completion --words -- "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null)
}}
complete -o bashdefault -o default -F _duet duet
)";
constexpr std::string_view kZsh = R"(#compdef duet
_duet() {{
  local -a found
  found=("${{(@f)$({0} completion --words -- "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
  if (( ${{#found[1]}} )); then compadd -a found; else _files; fi
}}
compdef _duet duet
)";
constexpr std::string_view kFish =
    R"(complete -c duet -a '({0} completion --words -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
)";

bool takes_model(const std::string& type_name) { return type_name == "MODEL" || type_name == "NAME"; }

/// The model names that MODEL may stand for; a broken store has none to offer.
std::vector<std::string> names_to_offer() {
  try {
    return model_names(Store::from_environment(), load_catalog());
  } catch (const Error&) {
    return {};
  }
}

const CLI::Option* find_option(const CLI::App& command, const std::string& word) {
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional() && option->check_name(word)) return option;
  }
  return nullptr;
}

/// The positional parameter that word `index` (counted without options) stands for, or nullptr.
const CLI::Option* positional_at(const CLI::App& command, size_t index) {
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional() || option->get_group().empty()) continue;
    if (index == 0 || option->get_items_expected_max() > 1) return option;
    --index;
  }
  return nullptr;
}

/// What the last of `words` may become; empty where a file name is wanted.
std::vector<std::string> candidates(const CLI::App& app, const std::vector<std::string>& words) {
  const std::string& partial = words.back();
  std::vector<std::string> found;
  if (words.size() == 1) {
    for (const CLI::App* command : app.get_subcommands({})) found.push_back(command->get_name());
    if (partial.starts_with('-')) found = {"--help", "--version"};
    return found;
  }
  const std::vector<const CLI::App*> named =
      app.get_subcommands([&](const CLI::App* command) { return command->check_name(words.front()); });
  if (named.empty()) return {};
  const CLI::App* command = named.front();
  if (partial.starts_with('-')) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_group().empty()) continue;
      for (const std::string& name : option->get_lnames()) found.push_back("--" + name);
    }
    return found;
  }
  size_t position = 0;
  const CLI::Option* wanted = nullptr;  // the option whose value the next word is
  for (size_t i = 1; i + 1 < words.size(); ++i) {
    if (wanted != nullptr) {
      wanted = nullptr;
    } else if (words[i].starts_with('-')) {
      const CLI::Option* option = find_option(*command, words[i]);
      if (option != nullptr && option->get_items_expected_max() > 0) wanted = option;
    } else {
      ++position;
    }
  }
  if (wanted == nullptr) {
    const CLI::Option* parameter = positional_at(*command, position);
    if (parameter != nullptr && takes_model(parameter->get_type_name())) return names_to_offer();
    if (parameter != nullptr && parameter->get_type_name() == "SHELL") return {"bash", "zsh", "fish"};
  }
  return {};
}

/// The path as one word of a shell.
std::string shell_quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::string script(const std::string& shell) {
  const std::string program = shell_quote(std::filesystem::read_symlink("/proc/self/exe").string());
  if (shell == "bash") return fmt::format(fmt::runtime(kBash), program);
  if (shell == "zsh") return fmt::format(fmt::runtime(kZsh), program);
  if (shell != "fish") fail(ErrorCode::kUsageError, "'{}' is no shell known here: bash, zsh or fish", printable(shell));
  // Within the quotes of fish's -a a quote is written \'.
  std::string nested;
  for (const char c : program) nested += c == '\'' ? "\\'" : std::string(1, c);
  return fmt::format(fmt::runtime(kFish), nested);
}

}  // namespace

void add_completion_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("completion", "print the completion script of a shell");
  const auto words = std::make_shared<std::vector<std::string>>();
  const auto complete = std::make_shared<bool>(false);
  command->add_option("shell", *words, "bash, zsh or fish")->type_name("SHELL")->required();
  command->add_flag("--words", *complete, "")->group("");  // what the scripts call
  command->add_flag("--json", state.json_errors, "print errors as JSON");
  command->footer(
      "The script completes commands, options and the names of models; put it where your shell looks for it.\n\n"
      "Examples:\n"
      "  source <(duet completion bash)\n"
      "  duet completion zsh > ~/.zfunc/_duet\n"
      "  duet completion fish > ~/.config/fish/completions/duet.fish");
  command->callback([words, complete, &app] {
    std::string text;
    if (*complete) {
      for (const std::string& candidate : candidates(app, *words)) {
        if (candidate.starts_with(words->back())) text += candidate + "\n";
      }
    } else {
      if (words->size() != 1) fail(ErrorCode::kUsageError, "{} shells are named, wanted one", words->size());
      text = script(words->front());
    }
    Output(STDOUT_FILENO).write(text);
  });
}

}  // namespace duet
