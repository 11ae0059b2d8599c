#include "text/regex_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support.h"
#include "text/pretokenize.h"

namespace duet {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> pieces(std::string_view pattern, std::string_view text) {
  const auto regex = std::make_shared<const RegexSplitter>(pattern, "t.json");
  const PreTokenizer splitter({{.kind = PreTokenizer::Kind::kRegex, .regex = regex}});
  std::vector<std::string> out;
  splitter.split(text, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

std::string repeat(std::string_view unit, size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += unit;
  return out;
}

TEST(RegexSplitter, MatchesAndWhatLiesBetweenArePieces) {
  EXPECT_THAT(pieces("\\d+", "ab12c3"), ElementsAre("ab", "12", "c", "3"));
  EXPECT_THAT(pieces("\\d+", "ab"), ElementsAre("ab"));
  EXPECT_THAT(pieces("x*", "axxb"), ElementsAre("a", "xx", "b")) << "empty matches are none";
  EXPECT_THAT(pieces("\\p{Han}", "\u4e2d\u6587a"), ElementsAre("\u4e2d", "\u6587", "a"));
  EXPECT_THAT(pieces("\\s", "a\u3000b"), ElementsAre("a", "\u3000", "b")) << "classes are Unicode's";
  EXPECT_THAT(pieces("(?<=a)b", "abb"), ElementsAre("a", "b", "b")) << "what is behind is seen";
  EXPECT_THAT(pieces("a$", "aa"), ElementsAre("a", "a")) << "the end is the text's own";
}

// The windows that bound looking ahead do not show: a known pattern run as an unknown one cuts as it is matched by
// hand.
TEST(RegexSplitter, CutsAsTheKnownPatternsDo) {
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += repeat("\u00e4x", static_cast<size_t>(i) * 3 % 700) + repeat(" ", static_cast<size_t>(i) * 7 % 600) +
            repeat("\n", static_cast<size_t>(i) % 5) + repeat("!?", static_cast<size_t>(i) * 5 % 530) + "it's 1234";
  }
  for (const SplitPattern pattern : {SplitPattern::kGpt2, SplitPattern::kLlama3, SplitPattern::kQwen35}) {
    std::vector<std::string> known;
    PreTokenizer({{.kind = PreTokenizer::Kind::kPattern, .pattern = pattern}}).split(text, [&](std::string_view piece) {
      known.emplace_back(piece);
    });
    EXPECT_EQ(pieces(split_pattern_text(pattern), text), known);
  }
}

TEST(RegexSplitter, RefusesWhatIsNoExpression) {
  for (const char* broken : {"(", "[a", "a{2,1}", "(?<x", "\\p{Nothing}", "*a", "(*LIMIT_MATCH=9)a"}) {
    EXPECT_ERROR(RegexSplitter(broken, "t.json"), ErrorCode::kBadTokenizer, broken);
  }
  EXPECT_ERROR(RegexSplitter(std::string(100000, 'a'), "t.json"), ErrorCode::kUnsupportedFeature, "100000");
  EXPECT_ERROR(RegexSplitter(std::string(500, '(') + std::string(500, ')'), "t.json"), ErrorCode::kBadTokenizer, "((");
  EXPECT_ERROR(RegexSplitter("a\\Cb", "t.json"), ErrorCode::kBadTokenizer, "\\C");
}

// Each takes exponential or quadratic time where nothing bounds it. How far it gets is counted, never timed.
TEST(RegexSplitter, HostileExpressionsEnd) {
  const std::string letters(100'000, 'a');
  for (const char* pattern : {"(a+)+$|b", "(a|a)*b", "(a|aa)+$", "(?=(a*b))", "a*b", "a*+b", "(?:a*+b|a*+c)", "(a*)*b",
                              "(?>a*)b", "(.*)(.*)(.*)(.*)x", "(?R)?a(?R)?b"}) {
    EXPECT_ERROR(pieces(pattern, letters + "!"), ErrorCode::kUnsupportedFeature, pattern);
  }
  EXPECT_EQ(pieces("a+|b", letters).size(), 1U) << "a long match is none of these";
  EXPECT_EQ(pieces(".", letters).size(), letters.size());
  EXPECT_EQ(pieces("b", letters).size(), 1U);
}

}  // namespace
}  // namespace duet
