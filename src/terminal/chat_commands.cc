#include "terminal/chat_commands.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "engine/sampling_fields.h"
#include "hub/resolve.h"
#include "terminal/attachments.h"
#include "terminal/chat_store.h"
#include "terminal/text_flow.h"

namespace duet {
namespace {

constexpr std::array kCommands = {
    ChatCommand{"help", "", "this list"},
    ChatCommand{"quit", "", "leave (so does Ctrl-D)"},
    ChatCommand{"clear", "", "forget the conversation, keep the system message"},
    ChatCommand{"system", "[TEXT]", "set the system message; without TEXT show it; \"/system -\" removes it"},
    ChatCommand{"undo", "", "take the last question and its answer back"},
    ChatCommand{"regen", "", "answer the last message once more"},
    ChatCommand{"edit", "", "change the last message ($VISUAL, $EDITOR, or in the line) and ask again"},
    ChatCommand{"model", "[NAME]", "show the model, or go on with another one"},
    ChatCommand{"params", "[NAME VALUE ...]",
                "show how answers are sampled, or change it; \"/params default\" as at the beginning"},
    ChatCommand{"think", "[on|off|N|default]", "whether the model thinks first, for at most N tokens"},
    ChatCommand{"save", "FILE", "write the conversation to a file (JSON)"},
    ChatCommand{"load", "FILE", "go on with a conversation that was saved"},
    ChatCommand{"stats", "", "how full the context is, and what has been answered so far"},
};

constexpr int64_t kQuoteColumns = 40;  // of arguments that are named

constexpr int64_t kMinHelpColumns = 24;  // where fewer are left beside a name, the help goes below it

constexpr std::string_view kNotes =
    "@FILE in a message attaches a text file (@\"with spaces\"); \\@ is a plain @.\n"
    "Alt-Enter begins a new line; so does \\ at the end of one. \"\"\" begins and ends a text of many lines.\n"
    "Ctrl-C stops an answer; at the prompt it clears the line, twice quickly it leaves.\n"
    "Tab completes, the arrow keys move in the text and bring back earlier ones, Ctrl-R searches these.\n";

/// Candidates that begin with `partial`, each followed by `tail`.
std::vector<std::string> matching(const std::vector<std::string>& names, std::string_view partial,
                                  std::string_view tail = " ") {
  std::vector<std::string> found;
  for (const std::string& name : names) {
    if (name.starts_with(partial)) found.push_back(name + std::string(tail));
  }
  return found;
}

std::vector<std::string> paths(std::string_view partial, bool quote) {
  const bool quoted = partial.starts_with('"');
  if (quoted) partial.remove_prefix(1);
  std::vector<std::string> found = complete_path(partial);
  for (std::string& path : found) {
    const bool folder = path.ends_with('/');
    const bool needs_quotes = quote && (quoted || path.find(' ') != std::string::npos);
    if (needs_quotes) path.insert(0, 1, '"');
    if (!folder) path += needs_quotes ? "\" " : quote ? " " : "";
  }
  return found;
}

bool is_separator(char c) { return c == ' ' || c == '='; }  // of /params

std::vector<std::string> parameter_names() {
  std::vector<std::string> names = {"default"};
  for (const SamplingField& field : sampling_fields()) names.emplace_back(field.name);
  return names;
}

}  // namespace

std::span<const ChatCommand> chat_commands() { return kCommands; }

std::string chat_help(int width) {
  size_t widest = 0;
  for (const ChatCommand& command : kCommands)
    widest = std::max(widest, command.name.size() + command.arguments.size() + 2);
  HelpTable table(static_cast<int64_t>(widest) + 2, width);
  for (const ChatCommand& command : kCommands) {
    table.add(fmt::format("/{}{}{}", command.name, command.arguments.empty() ? "" : " ", command.arguments),
              command.help);
  }
  for (std::string_view rest = kNotes; !rest.empty();) {
    table.add_note(rest.substr(0, rest.find('\n')));
    rest.remove_prefix(rest.find('\n') + 1);
  }
  return table.take();
}

HelpTable::HelpTable(int64_t left, int64_t width)
    : flow_(false, [width] { return static_cast<int>(width); }), left_(left), narrow_(width < left + kMinHelpColumns) {}

void HelpTable::add(std::string_view name, std::string_view help) {
  if (narrow_) {
    add_note(name);
    flow_.begin_line("  ", "  ", false);
  } else {
    flow_.begin_line(fmt::format("{:<{}}  ", name, left_ - 2), std::string(static_cast<size_t>(left_), ' '), false);
  }
  flow_.put_text(help, kPlainText);
  flow_.end_line();
}

void HelpTable::add_note(std::string_view note) {
  flow_.begin_line("", "", false);
  flow_.put_text(note, kPlainText);
  flow_.end_line();
}

void check_chat_command(const std::string& name, const std::string& arguments) {
  const auto command =
      std::find_if(kCommands.begin(), kCommands.end(), [&](const ChatCommand& known) { return known.name == name; });
  const bool alias = name == "exit" || name == "bye" || name == "?";
  if (!arguments.empty() && (alias || (command != kCommands.end() && command->arguments.empty()))) {
    fail(ErrorCode::kUsageError, "/{} takes no argument, not '{}'", name,
         printable(one_line(arguments, kQuoteColumns)));
  }
  if (alias || command != kCommands.end()) return;
  std::vector<std::string> names;
  names.reserve(kCommands.size());
  for (const ChatCommand& known : kCommands) names.emplace_back(known.name);
  const std::string nearest = nearest_name(name, names);
  throw Error(ErrorCode::kUsageError,
              fmt::format("there is no command /{}{}", name,
                          nearest.empty() ? "" : fmt::format("; did you mean /{}?", nearest)),
              "/help lists the commands; a message may begin with a space before the /");
}

Completions complete_chat_line(std::string_view before, const std::function<std::vector<std::string>()>& model_names) {
  const size_t space = before.find(' ');
  if (before.starts_with('/') && space == std::string_view::npos) {
    std::vector<std::string> names;
    names.reserve(kCommands.size());
    for (const ChatCommand& command : kCommands) names.push_back("/" + std::string(command.name));
    return {0, matching(names, before)};
  }
  const std::string_view command = before.starts_with('/') ? before.substr(1, space - 1) : std::string_view{};
  const size_t word = before.find_last_of(" \n") + 1;  // where the last word begins
  if (command == "model")
    return {space + 1,
            matching(model_names ? model_names() : std::vector<std::string>{}, before.substr(space + 1), "")};
  if (command == "think") return {word, matching({"on", "off", "default"}, before.substr(word), "")};
  if (command == "params") {
    // NAME VALUE NAME VALUE ...: a value has nothing to complete.
    size_t words = 0;
    for (size_t i = space + 1; i < word; ++i) words += is_separator(before[i]) && !is_separator(before[i - 1]) ? 1 : 0;
    return words % 2 != 0 ? Completions{} : Completions{word, matching(parameter_names(), before.substr(word))};
  }
  if (command == "save" || command == "load") return {space + 1, paths(before.substr(space + 1), false)};
  size_t at = before.rfind('@');
  if (at == std::string_view::npos || (at > 0 && before[at - 1] != ' ' && before[at - 1] != '\n')) return {};
  const std::string_view partial = before.substr(at + 1);
  if (!partial.starts_with('"') && partial.find_first_of(" \n") != std::string_view::npos) return {};
  return {at + 1, paths(partial, true)};
}

}  // namespace duet
