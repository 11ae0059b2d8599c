#include "chat/thought_budget.h"

#include "tests/fake_tokenizer.h"
#include "tests/support.h"

namespace duet {
namespace {

const test::FakeTokenizer& tokenizer() {
  static const test::FakeTokenizer fake({{"<think>", false}, {"</think>", false}});
  return fake;
}

/// What comes out when a model that would say `text` is guided: its own tokens, then whatever is forced.
std::string guided(std::string_view text, bool in_thought, int64_t budget) {
  ThoughtBudget guide(tokenizer(), in_thought, budget);
  std::vector<TokenId> out;
  const std::vector<TokenId> own = tokenizer().encode(text, {.parse_special = true});
  for (size_t next = 0; next < own.size();) {
    const std::optional<TokenId> forced = guide.forced();
    const TokenId id = forced ? *forced : own[next];
    if (!forced) ++next;
    guide.accept(id);
    out.push_back(id);
    if (out.size() > 1000) return "endless";
  }
  return tokenizer().decode(out, false);
}

TEST(ThoughtBudget, AThoughtWithinItsLimitIsLeftAlone) {
  EXPECT_EQ(guided("<think>\nabc\n</think>\n\nyes", false, 6), "<think>\nabc\n</think>\n\nyes");
  EXPECT_EQ(guided("abc\n</think>\n\nyes", true, 5), "abc\n</think>\n\nyes");
  EXPECT_EQ(guided("no thought at all", false, 0), "no thought at all");
}

TEST(ThoughtBudget, ALongOneIsClosed) {
  EXPECT_EQ(guided("<think>\nabcdefgh", false, 4), "<think>\nabc\n</think>\n\ndefgh");
  EXPECT_EQ(guided("abcdefgh", true, 3), "abc\n</think>\n\ndefgh");
  EXPECT_EQ(guided("ab\ndef", true, 3), "ab\n</think>\n\ndef");
}

TEST(ThoughtBudget, NoneAtAllIsTheTemplatesEmptyThought) {
  EXPECT_EQ(guided("yes", true, 0), "\n</think>\n\nyes");  // the prompt ends in "<think>\n"
  EXPECT_EQ(guided("<think>yes", false, 0), "<think>\n\n</think>\n\nyes");
}

TEST(ThoughtBudget, OnlyTheFirstThoughtCounts) {
  EXPECT_EQ(guided("<think>a</think>b<think>cdefgh", false, 2), "<think>a</think>b<think>cdefgh");
}

}  // namespace
}  // namespace duet
