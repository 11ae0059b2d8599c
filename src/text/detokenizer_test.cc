#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "tests/support.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_testing.h"

namespace duet {
namespace {

using test::token_ids;

class DetokenizerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = load_gguf_tokenizer(test::SmallGguf().metadata());
};

TEST_F(DetokenizerTest, HoldsBackWhatMayStillBecomeACharacter) {
  Detokenizer stream(*tokenizer_, false);
  EXPECT_EQ(stream.push(TokenId{'a'}), "a");
  EXPECT_EQ(stream.push(TokenId{0xf0}), "");
  EXPECT_EQ(stream.push(TokenId{0x9f}), "");
  EXPECT_EQ(stream.push(TokenId{0x98}), "");
  EXPECT_EQ(stream.push(TokenId{0x80}), "\U0001f600");
  EXPECT_EQ(stream.push(TokenId{0xe2}), "");
  EXPECT_EQ(stream.push(TokenId{'x'}), "\ufffdx") << "the character cannot be completed any more";
  EXPECT_EQ(stream.push(TokenId{0xff}), "\ufffd") << "no character begins so";
  EXPECT_EQ(stream.push(TokenId{0xe2}), "");
  EXPECT_EQ(stream.push(TokenId{0x82}), "");
  EXPECT_EQ(stream.finish(), "\ufffd") << "one for the whole part";
  EXPECT_EQ(stream.finish(), "");
}

TEST_F(DetokenizerTest, SpecialTokens) {
  Detokenizer skipping(*tokenizer_, true), keeping(*tokenizer_, false);
  EXPECT_EQ(skipping.push(TokenId{258}), "");
  EXPECT_EQ(skipping.push(TokenId{259}), "<tool>") << "user defined, not special";
  EXPECT_EQ(keeping.push(TokenId{258}), "<|bos|>");
  EXPECT_EQ(skipping.push(TokenId{0xe2}), "");
  EXPECT_EQ(skipping.push(TokenId{258}), "") << "a skipped token does not come between";
  EXPECT_EQ(skipping.push(TokenId{0x82}), "");
  EXPECT_EQ(skipping.push(TokenId{0xac}), "\u20ac");
  EXPECT_ERROR(keeping.push(TokenId{261}), ErrorCode::kBadValue, "261");
}

TEST_F(DetokenizerTest, AnyStreamEqualsDecoding) {
  std::mt19937 random(11);
  for (int round = 0; round < 20000; ++round) {
    std::vector<TokenId> ids;
    static constexpr int kBytes[] = {0xf0, 0x9f, 0x98, 0x80, 0xe2, 0x82, 0xac, 0xc3,
                                     0xa9, 0xed, 0xa0, 'a',  0xff, 257,  258,  259};
    for (size_t n = random() % 10; n > 0; --n) ids.push_back(TokenId{kBytes[random() % std::size(kBytes)]});
    for (const bool skip : {false, true}) {
      Detokenizer stream(*tokenizer_, skip);
      std::string text;
      for (const TokenId id : ids) {
        const std::string part = stream.push(id);
        ASSERT_TRUE(is_valid_utf8(part));
        text += part;
      }
      text += stream.finish();
      ASSERT_EQ(text, tokenizer_->decode(ids, skip));
    }
  }
}

}  // namespace
}  // namespace duet
