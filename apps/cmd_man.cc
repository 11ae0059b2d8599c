#include <fmt/core.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>

#include "apps/command.h"
#include "terminal/output.h"

namespace duet {
namespace {

constexpr std::string_view kFiles =
    ".SH FILES\n"
    ".TP\n.I ~/.local/share/duet\nmodels that were pulled, names of adopted ones, and what chats keep\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B DUET_HOME\nanother place for all of that\n"
    ".TP\n.B DUET_CATALOG\nanother catalogue of models\n"
    ".TP\n.B DUET_CACHE_LIMIT\nthe most that packed weights on disk may take together, as 20GB (default 64GB)\n"
    ".TP\n.B DUET_CPU\nforces a level of the processor: baseline, avx2, avx512 or avx512vnni\n"
    ".TP\n.B NO_COLOR\nplain text on a terminal\n"
    ".SH EXIT STATUS\n"
    "0 when all went well, 1 when something failed, 2 for a wrong command line, 130 after Ctrl\\-C. Errors are one line "
    "on standard error, or one JSON object with \\-\\-json.\n";

/// Text for troff: what it would take for a command or an escape is made plain.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (out.empty() || out.back() == '\n') {
      if (c == '.' || c == '\'') out += "\\&";
    }
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

/// A footer: paragraphs are filled, indented lines (examples) stay as they are.
std::string paragraphs(std::string_view text) {
  std::string out;
  bool verbatim = false;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const bool indented = line.starts_with(' ');
    if (indented != verbatim) out += indented ? ".RS\n.nf\n" : ".fi\n.RE\n";
    verbatim = indented;
    if (line.empty()) {
      out += ".PP\n";
    } else {
      out += plain(indented ? line.substr(std::min(line.find_first_not_of(' '), line.size())) : line) + "\n";
    }
  }
  if (verbatim) out += ".fi\n.RE\n";
  return out;
}

/// "--top-k K", "-n, --max-tokens N", or the name of a positional parameter.
std::string option_head(const CLI::Option& option) {
  if (option.get_positional()) return fmt::format("\\fI{}\\fR", plain(option.get_type_name()));
  std::string head;
  for (const auto& [names, dashes] : {std::pair(option.get_snames(), "-"), std::pair(option.get_lnames(), "--")}) {
    for (const std::string& name : names) {
      if (!head.empty()) head += ", ";
      head += fmt::format("\\fB{}\\fR", plain(dashes + name));
    }
  }
  std::string value = option.get_type_name();
  value = value.substr(0, value.find(':'));  // without what the check adds: "N:INT in [1 - 4]"
  if (option.get_items_expected_max() > 0 && !value.empty()) head += fmt::format(" \\fI{}\\fR", plain(value));
  return head;
}

std::string synopsis(const CLI::App& command) {
  std::string out = fmt::format("\\fBduet {}\\fR [\\fIoptions\\fR]", plain(command.get_name()));
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional() || option->get_group().empty()) continue;
    const std::string more = option->get_items_expected_max() > 1 ? " ..." : "";
    out += option->get_required() ? fmt::format(" {}{}", option_head(*option), more)
                                  : fmt::format(" [{}{}]", option_head(*option), more);
  }
  return out;
}

std::string command_section(const CLI::App& command, const std::string& inherited_footer) {
  std::string out = fmt::format(".SS {}\n{}\n.PP\n{}\n", plain(command.get_name()), synopsis(command),
                                plain(command.get_description()));
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group().empty() || option->check_name("--help")) continue;
    out += fmt::format(".TP\n{}\n{}\n", option_head(*option), plain(option->get_description()));
  }
  const std::string footer = command.get_footer();
  return footer == inherited_footer ? out : out + ".PP\n" + paragraphs(footer);
}

std::string man_page(const CLI::App& app) {
  std::string out = fmt::format(".TH DUET 1 \"\" \"duet {}\" \"User Commands\"\n.SH NAME\nduet \\- {}\n", DUET_VERSION,
                                plain(app.get_description()));
  out += ".SH SYNOPSIS\n";
  for (const CLI::App* command : app.get_subcommands({})) out += synopsis(*command) + "\n.br\n";
  out += ".SH DESCRIPTION\n" + paragraphs(app.get_footer()) + ".SH COMMANDS\n";
  for (const CLI::App* command : app.get_subcommands({})) out += command_section(*command, app.get_footer());
  return out + std::string(kFiles);
}

}  // namespace

void add_man_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("man", "print the manual page");
  command->add_flag("--json", state.json_errors, "print errors as JSON");
  command->footer(
      "The page is made from the same definitions as --help.\n\n"
      "Examples:\n"
      "  duet man | man -l -\n"
      "  duet man > ~/.local/share/man/man1/duet.1");
  command->callback([&app] { Output(STDOUT_FILENO).write(man_page(app)); });
}

}  // namespace duet
