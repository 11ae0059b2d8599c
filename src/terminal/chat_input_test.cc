#include "terminal/chat_input.h"

#include <deque>

#include "tests/support.h"

namespace duet {
namespace {

class FakeLines final : public LineSource {
 public:
  explicit FakeLines(std::deque<std::string> lines, ReadLine::Kind end = ReadLine::Kind::kEnd)
      : lines_(std::move(lines)), end_(end) {}
  ReadLine read(std::string_view prompt) override {
    prompts += prompt;
    if (lines_.empty()) return {end_, end_ == ReadLine::Kind::kInterrupted ? "typed" : "", "", {}};
    const std::string line = lines_.front();
    lines_.pop_front();
    return {ReadLine::Kind::kLine, line, line, pasted};
  }
  std::string prompts;
  std::vector<std::string> pasted;

 private:
  std::deque<std::string> lines_;
  ReadLine::Kind end_;
};

ChatEntry entry(std::deque<std::string> lines) {
  FakeLines source(std::move(lines));
  return read_chat_entry(source, "> ", ". ");
}

TEST(ChatInput, PlainLines) {
  const ChatEntry one = entry({"Hello there", "next"});
  EXPECT_EQ(one.kind, ChatEntry::Kind::kText);
  EXPECT_EQ(one.text, "Hello there");
  EXPECT_EQ(one.source, "Hello there");
  EXPECT_EQ(entry({""}).kind, ChatEntry::Kind::kText);
  EXPECT_EQ(entry({"   "}).source, "");
  EXPECT_EQ(entry({}).kind, ChatEntry::Kind::kEnd);
}

TEST(ChatInput, ContinuedLines) {
  FakeLines source({"one\\", "two \\", "three", "four"});
  const ChatEntry three = read_chat_entry(source, "> ", ". ");
  EXPECT_EQ(three.text, "one\ntwo \nthree");
  EXPECT_EQ(three.source, "one\\\ntwo \\\nthree");
  EXPECT_EQ(source.prompts, "> . . ");
  EXPECT_EQ(entry({"cut off\\"}).kind, ChatEntry::Kind::kEnd);
}

TEST(ChatInput, Blocks) {
  EXPECT_EQ(entry({"\"\"\"", "a", "", "  b\\", "\"\"\""}).text, "a\n\n  b\\");
  EXPECT_EQ(entry({"\"\"\"one line\"\"\""}).text, "one line");
  EXPECT_EQ(entry({"\"\"\"begins", "ends\"\"\" ignored"}).text, "begins\nends");
  EXPECT_EQ(entry({"\"\"\"", "/help", "\"\"\""}).text, "/help");
  EXPECT_EQ(entry({"\"\"\"", "without end"}).text, "without end");
  EXPECT_EQ(entry({"\"\"\""}).kind, ChatEntry::Kind::kEnd);
}

TEST(ChatInput, Commands) {
  const ChatEntry system = entry({"/system  You are terse. "});
  EXPECT_EQ(system.kind, ChatEntry::Kind::kCommand);
  EXPECT_EQ(system.command, "system");
  EXPECT_EQ(system.text, "You are terse.");
  EXPECT_EQ(entry({"/quit"}).command, "quit");
  EXPECT_EQ(entry({"/?"}).command, "?");
  EXPECT_EQ(entry({"/nonsense"}).command, "nonsense");
  EXPECT_EQ(entry({"/etc/hosts is what?"}).kind, ChatEntry::Kind::kText);
  EXPECT_EQ(entry({" /help"}).kind, ChatEntry::Kind::kText);
  EXPECT_EQ(entry({"/"}).kind, ChatEntry::Kind::kText);
}

TEST(ChatInput, PastedTextIsAMessage) {
  for (const std::string text : {"\"\"\"doc\n\"\"\" code", "/help\nx", "a\nb\\"}) {
    FakeLines source({text, "next"});
    source.pasted = {text};
    const ChatEntry message = read_chat_entry(source, "> ", ". ");
    EXPECT_EQ(message.kind, ChatEntry::Kind::kText);
    EXPECT_EQ(message.text, text);
    EXPECT_EQ(message.pasted, std::vector<std::string>{text});
  }
}

TEST(ChatInput, Interrupted) {
  FakeLines source({"one\\"}, ReadLine::Kind::kInterrupted);
  const ChatEntry cut = read_chat_entry(source, "> ", ". ");
  EXPECT_EQ(cut.kind, ChatEntry::Kind::kInterrupted);
  EXPECT_EQ(cut.text, "one\\typed");
}

}  // namespace
}  // namespace duet
