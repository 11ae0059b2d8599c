#include "chat/sampling_texts.h"

#include <gtest/gtest.h>

#include "tests/fake_tokenizer.h"
#include "tests/support.h"

namespace duet {
namespace {

using Sequence = std::vector<TokenId>;

std::vector<Sequence> expected(std::initializer_list<std::vector<int32_t>> lists) {
  std::vector<Sequence> result;
  for (const auto& list : lists) {
    result.emplace_back();
    for (const int32_t id : list) result.back().push_back(TokenId{id});
  }
  return result;
}

TEST(Breakers, TokensThatHoldTheTextOrBeginItAreFound) {
  // 256: "a\nb" holds the text; 257 ends in its beginning.
  const test::FakeTokenizer tokenizer({{"a\nb", false}, {"x<", false}}, 258);
  EXPECT_EQ(breaker_sequences(tokenizer, "\n"), expected({{'\n'}, {256}}));
  EXPECT_EQ(breaker_sequences(tokenizer, "<br>"), expected({{'<', 'b', 'r', '>'}, {257, 'b', 'r', '>'}}));
  // A token that ends in two beginnings gives both.
  const test::FakeTokenizer doubled({{"aa", false}}, 257);
  EXPECT_EQ(breaker_sequences(doubled, "aab"), expected({{'a', 'a', 'b'}, {256, 'a', 'b'}, {256, 'b'}}));
  EXPECT_ERROR(breaker_sequences(tokenizer, ""), ErrorCode::kBadValue, "legal: 1 to 40");
  EXPECT_ERROR(breaker_sequences(tokenizer, std::string(41, 'x')), ErrorCode::kBadValue, "41 bytes");
}

TEST(SamplingTexts, BreakersOnlyWhereDryIsAtWork) {
  const test::FakeTokenizer tokenizer({}, 256);
  EXPECT_TRUE(resolve_texts(tokenizer, {}, {}).dry_breakers.empty());
  EXPECT_EQ(resolve_texts(tokenizer, {}, {.dry_multiplier = 1}).dry_breakers, expected({{'\n'}, {':'}, {'"'}, {'*'}}));
  const SamplingParams own{.dry_multiplier = 1, .dry_breakers = expected({{7}})};
  EXPECT_EQ(resolve_texts(tokenizer, {}, own).dry_breakers, own.dry_breakers);
  EXPECT_TRUE(resolve_texts(tokenizer, {.dry_breakers = {}}, {.dry_multiplier = 1}).dry_breakers.empty());
}

TEST(SamplingTexts, ABiasIsForEveryTokenOfItsText) {
  const test::FakeTokenizer tokenizer({{"<|end|>", true}}, 257);
  const SamplingParams params = resolve_texts(tokenizer, {.logit_bias = {{"ab", 2.0f}, {"<|end|>", -3.0f}}},
                                              {.logit_bias = {{TokenId{5}, 1.0f}}});
  const std::vector<std::pair<TokenId, float>> all = {
      {TokenId{5}, 1.0f}, {TokenId{'a'}, 2.0f}, {TokenId{'b'}, 2.0f}, {TokenId{256}, -3.0f}};
  EXPECT_EQ(params.logit_bias, all);
  EXPECT_ERROR(resolve_texts(tokenizer, {.logit_bias = {{"", 1.0f}}}, {}), ErrorCode::kBadValue, "empty");
}

}  // namespace
}  // namespace duet
