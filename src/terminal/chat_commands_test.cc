#include "terminal/chat_commands.h"

#include <filesystem>

#include "base/file.h"
#include "engine/sampling_fields.h"
#include "terminal/width.h"
#include "tests/support.h"

namespace duet {
namespace {

using Names = std::vector<std::string>;

Names completed(std::string_view before) {
  return complete_chat_line(before, [] { return Names{"qwen-a", "qwen-b", "smol"}; }).candidates;
}

TEST(ChatCommands, HelpNamesEachAndFits) {
  const std::string help = chat_help(60);
  for (const ChatCommand& command : chat_commands()) {
    EXPECT_NE(help.find("/" + std::string(command.name)), std::string::npos) << command.name;
  }
  for (std::string_view rest = help; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
    EXPECT_LE(display_width(rest.substr(0, rest.find('\n'))), 60) << rest.substr(0, rest.find('\n'));
  }
}

TEST(ChatCommands, TheNearestIsNamed) {
  EXPECT_ERROR(check_chat_command("modle", ""), ErrorCode::kUsageError, "did you mean /model?");
  EXPECT_ERROR(check_chat_command("nonsense", ""), ErrorCode::kUsageError, "there is no command /nonsense");
}

TEST(ChatCommands, AnArgumentThatNothingTakesIsRefused) {
  EXPECT_ERROR(check_chat_command("undo", "2 turns"), ErrorCode::kUsageError, "/undo takes no argument, not '2 turns'");
  EXPECT_ERROR(check_chat_command("bye", "now"), ErrorCode::kUsageError, "/bye takes no argument");
  for (const std::string name : {"undo", "quit", "exit", "bye", "?", "save"}) check_chat_command(name, "");
  check_chat_command("save", "file");
}

TEST(ChatCommands, OnANarrowTerminalTheHelpIsBelow) {
  HelpTable wide(6, 40), narrow(6, 20);
  wide.add("name", "what it means");
  wide.add("a long name", "what");
  EXPECT_EQ(wide.take(), "name  what it means\na long name  what\n");
  narrow.add("name", "what it means, and more");
  EXPECT_EQ(narrow.take(), "name\n  what it means,\n  and more\n");
  const std::string help = chat_help(20);
  for (std::string_view rest = help; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
    EXPECT_LT(display_width(rest.substr(0, rest.find('\n'))), 20) << rest.substr(0, rest.find('\n'));
  }
}

TEST(ChatCommands, Completion) {
  EXPECT_EQ(completed("/s"), (Names{"/system ", "/save ", "/stats "}));
  EXPECT_EQ(completed("/mo"), Names{"/model "});
  EXPECT_EQ(completed("/model qw"), (Names{"qwen-a", "qwen-b"}));
  EXPECT_EQ(completed("/think o"), (Names{"on", "off"}));
  EXPECT_EQ(completed("hello"), Names{});
  EXPECT_EQ(completed("me@exa"), Names{});
  EXPECT_EQ(completed("@a b"), Names{});
}

TEST(ChatCommands, CompletionOfParameters) {
  ASSERT_FALSE(sampling_fields().empty());
  const std::string first(sampling_fields()[0].name);
  const Names found = completed("/params x 1 " + first);
  EXPECT_NE(std::find(found.begin(), found.end(), first + " "), found.end());
  EXPECT_EQ(completed("/params " + first + " "), Names{}) << "a value comes next";
  EXPECT_EQ(completed("/params  " + first + " 1 x 2 t").size(), completed("/params t").size());
  EXPECT_EQ(completed("/params x=1 t").size(), completed("/params t").size());
}

TEST(ChatCommands, CompletionOfFiles) {
  const auto folder = test::temporary_folder();
  const std::string base = folder.string() + "/";
  write_file_atomically(folder / "one.txt", "");
  write_file_atomically(folder / "two words.txt", "");
  EXPECT_EQ(completed("see @" + base + "o"), Names{base + "one.txt "});
  EXPECT_EQ(completed("see @" + base + "t"), Names{"\"" + base + "two words.txt\" "});
  EXPECT_EQ(completed("@\"" + base + "two w"), Names{"\"" + base + "two words.txt\" "});
  EXPECT_EQ(completed("/load " + base + "t"), Names{base + "two words.txt"});
  EXPECT_EQ(complete_chat_line("see @" + base, {}).begin, 5u);
}

}  // namespace
}  // namespace duet
