#include "chat/reasoning.h"

#include "tests/support.h"

namespace duet {
namespace {

struct Parsed {
  std::string reasoning, answer;
  bool operator==(const Parsed&) const = default;
};

void PrintTo(const Parsed& parsed, std::ostream* out) {
  *out << "reasoning '" << parsed.reasoning << "' answer '" << parsed.answer << "'";
}

Parsed parse(const std::vector<std::string_view>& pieces, bool in_thought = false) {
  ReasoningParser parser(in_thought);
  Parsed parsed;
  const auto take = [&](const ReasoningParser::Piece& piece) {
    EXPECT_TRUE(parsed.answer.empty() || piece.reasoning.empty()) << "a thought after the answer began";
    parsed.reasoning += piece.reasoning;
    parsed.answer += piece.answer;
  };
  for (const std::string_view piece : pieces) take(parser.push(piece));
  take(parser.finish());
  return parsed;
}

struct Case {
  std::string_view text;
  bool in_thought;
  Parsed expected;
};

const Case kCases[] = {
    {"plain answer", false, {"", "plain answer"}},
    {"", false, {"", ""}},
    {" \n", false, {"", " \n"}},
    {"<thin", false, {"", "<thin"}},
    {"<thinker>", false, {"", "<thinker>"}},
    {"<think>\nwhy\n</think>\n\nbecause", false, {"why", "because"}},
    {"\n <think>why</think>because\n", false, {"why", "because\n"}},
    {"<think>\n\n</think>\n\nyes", false, {"", "yes"}},
    {"<think>a\n\nb\n\n\n</think>\n", false, {"a\n\nb", ""}},
    {"<think>a <think> b </thin k></think> x </think> y", false, {"a <think> b </thin k>", " x </think> y"}},
    {"<think>never ends\n\n", false, {"never ends", ""}},
    {"<think>cut</thi", false, {"cut</thi", ""}},
    {"<think>", false, {"", ""}},
    {"answer <think>no</think>", false, {"", "answer <think>no</think>"}},
    {"\nwhy\n</think>\n\nso", true, {"why", "so"}},
    {"</think>so", true, {"", "so"}},
    {"<think>twice</think>so", true, {"<think>twice", "so"}},
    {"東京\n</think>\n\n🙂\n", true, {"東京", "🙂\n"}},
};

TEST(ReasoningParser, WholeTexts) {
  for (const Case& c : kCases) EXPECT_EQ(parse({c.text}, c.in_thought), c.expected) << c.text;
}

TEST(ReasoningParser, AnySplitGivesTheSame) {
  for (const Case& c : kCases) {
    for (size_t i = 0; i <= c.text.size(); ++i) {
      for (size_t j = i; j <= c.text.size(); ++j) {
        EXPECT_EQ(parse({c.text.substr(0, i), c.text.substr(i, j - i), c.text.substr(j)}, c.in_thought), c.expected)
            << c.text << " cut at " << i << " and " << j;
      }
    }
    std::vector<std::string_view> bytes;
    for (size_t i = 0; i < c.text.size(); ++i) bytes.push_back(c.text.substr(i, 1));
    EXPECT_EQ(parse(bytes, c.in_thought), c.expected) << c.text;
  }
}

TEST(ReasoningParser, TextGoesOutAsSoonAsItIsCertain) {
  ReasoningParser parser;
  EXPECT_EQ(parser.push("<think>").reasoning, "");
  EXPECT_TRUE(parser.in_thought());
  EXPECT_EQ(parser.push("one").reasoning, "one");
  EXPECT_EQ(parser.push(" two\n").reasoning, " two");
  EXPECT_EQ(parser.push("three</").reasoning, "\nthree");
  EXPECT_EQ(parser.push("b>").reasoning, "</b>");
  EXPECT_FALSE(parser.answering());
  EXPECT_EQ(parser.push("</think>").reasoning, "");
  EXPECT_TRUE(parser.answering());
  EXPECT_EQ(parser.push("\n\nyes").answer, "yes");
  EXPECT_TRUE(parser.thought());
}

}  // namespace
}  // namespace duet
