#include "text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace duet {
namespace {

using ::testing::ElementsAre;

AddedToken token(std::string content) { return {.id = TokenId{0}, .content = std::move(content)}; }

/// Parts as text, tokens in brackets.
std::vector<std::string> parts(const AddedTokenFinder& finder, std::string_view text) {
  std::vector<std::string> out;
  for (const AddedTokenFinder::Part& part : finder.split(text)) {
    const std::string piece(text.substr(part.begin, part.end - part.begin));
    out.push_back(part.token < 0 ? piece : "[" + piece + "]");
  }
  return out;
}

TEST(AddedTokens, TheLongestAtTheLeftmostPlace) {
  const AddedTokenFinder finder({token("ab"), token("abc"), token("bcd"), token("<a>"), token("<a><b>")});
  EXPECT_THAT(parts(finder, ""), ElementsAre());
  EXPECT_THAT(parts(finder, "xx"), ElementsAre("xx"));
  EXPECT_THAT(parts(finder, "abcd"), ElementsAre("[abc]", "d"));
  EXPECT_THAT(parts(finder, "abd bcdab"), ElementsAre("[ab]", "d ", "[bcd]", "[ab]"));
  EXPECT_THAT(parts(finder, "<a><a><b>"), ElementsAre("[<a>]", "[<a><b>]"));
}

TEST(AddedTokens, RandomTextsAgreeWithThePlainSearch) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::vector<AddedToken> tokens;
    for (size_t n = 1 + random() % 6; n > 0; --n) {
      std::string content;
      for (size_t k = 1 + random() % 5; k > 0; --k) content += static_cast<char>('a' + random() % 2);
      tokens.push_back(token(content));
    }
    std::string text;
    for (size_t k = random() % 40; k > 0; --k) text += static_cast<char>('a' + random() % 3);
    std::vector<std::string> wanted;
    std::string between;
    for (size_t i = 0; i < text.size();) {
      size_t longest = 0;
      for (const AddedToken& t : tokens) {
        if (std::string_view(text).substr(i).starts_with(t.content)) longest = std::max(longest, t.content.size());
      }
      if (longest == 0) {
        between += text[i++];
        continue;
      }
      if (!between.empty()) wanted.push_back(between);
      between.clear();
      wanted.push_back("[" + text.substr(i, longest) + "]");
      i += longest;
    }
    if (!between.empty()) wanted.push_back(between);
    ASSERT_EQ(parts(AddedTokenFinder(tokens), text), wanted) << text;
  }
}

TEST(AddedTokens, Flags) {
  AddedToken left = token("<l>"), right = token("<r>"), word = token("tok");
  left.lstrip = true;
  right.rstrip = true;
  word.single_word = true;
  const AddedTokenFinder finder({left, right, word, token("to")});
  EXPECT_THAT(parts(finder, "a \u00a0<l> b"), ElementsAre("a", "[ \u00a0<l>]", " b"));
  EXPECT_THAT(parts(finder, "a <r>\u3000\n b"), ElementsAre("a ", "[<r>\u3000\n ]", "b"));
  EXPECT_THAT(parts(finder, "<r>  <l>"), ElementsAre("[<r>  ]", "[<l>]"));
  EXPECT_THAT(parts(finder, "tok (tok) tok"), ElementsAre("[tok]", " (", "[tok]", ") ", "[tok]"));
  EXPECT_THAT(parts(finder, "tok_ \u0301tok xtok"), ElementsAre("tok_ \u0301tok xtok"))
      << "and no shorter one in its place";
  EXPECT_THAT(parts(finder, "\u00b2tok"), ElementsAre("\u00b2", "[tok]"));
}

}  // namespace
}  // namespace duet
