#include "text/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support.h"
#include "text/tokenizer_testing.h"

namespace duet {
namespace {

using test::array;
using test::ints;
using test::scalar;
using test::SmallGguf;
using ::testing::ElementsAre;

TEST(GgufTokenizer, EncodesAndDecodes) {
  SmallGguf file;
  file.more = {{"tokenizer.ggml.bos_token_id", scalar(uint32_t{258})}, {"tokenizer.ggml.add_bos_token", scalar(true)}};
  const auto tokenizer = load_gguf_tokenizer(file.metadata());
  EXPECT_THAT(ints(tokenizer->encode("the t<tool>", {})), ElementsAre(257, ' ', 't', '<', 't', 'o', 'o', 'l', '>'));
  EXPECT_THAT(ints(tokenizer->encode("the t<tool>", {.parse_special = true})), ElementsAre(257, ' ', 't', 259));
  EXPECT_THAT(ints(tokenizer->encode("", {.add_special = true})), ElementsAre(258));
  EXPECT_THAT(ints(tokenizer->encode("<|bos|>", {.parse_special = true, .add_special = true})), ElementsAre(258, 258));
  EXPECT_THAT(ints(tokenizer->encode("\xff\xe2\x82", {})), ElementsAre(0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd));
  EXPECT_EQ(tokenizer->decode(test::token_ids({258, 257, 259, 260, 0xe2, 'x', 0xff}), false),
            "<|bos|>the<tool>\ufffdx\ufffd");
  EXPECT_EQ(tokenizer->decode(test::token_ids({258, 257, 259}), true), "the<tool>");
  EXPECT_EQ(tokenizer->vocabulary_size(), 261);
  EXPECT_EQ(tokenizer->bos(), TokenId{258});
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
  EXPECT_EQ(tokenizer->find("<tool>"), TokenId{259});
  EXPECT_EQ(tokenizer->find("nothing"), std::nullopt);
  EXPECT_THAT(tokenizer->special_token_strings(),
              ElementsAre(std::pair<std::string, std::string>("bos_token", "<|bos|>")));
  EXPECT_ERROR(tokenizer->decode(test::token_ids({261}), false), ErrorCode::kBadValue, "261");
  EXPECT_ERROR(tokenizer->token_bytes(TokenId{-1}), ErrorCode::kBadValue, "-1");
}

TEST(GgufTokenizer, TheFamilyDecidesWhereTheFileIsSilent) {
  SmallGguf file;
  file.more = {{"tokenizer.ggml.bos_token_id", scalar(uint32_t{258})}};
  EXPECT_THAT(ints(load_gguf_tokenizer(file.metadata())->encode("x", {.add_special = true})), ElementsAre('x'));
  file.pre = "llama-bpe";
  EXPECT_THAT(ints(load_gguf_tokenizer(file.metadata())->encode("x", {.add_special = true})), ElementsAre(258, 'x'));
  file.pre = "qwen2";
  EXPECT_EQ(load_gguf_tokenizer(file.metadata())->encode("e\u0301", {}).size(), 2U) << "NFC";
  file.more.emplace_back("tokenizer.ggml.add_eos_token", scalar(true));
  EXPECT_ERROR(load_gguf_tokenizer(file.metadata()), ErrorCode::kBadTokenizer, "eos_token_id");
}

TEST(GgufTokenizer, RefusesWhatItDoesNotKnow) {
  const auto changed = [](auto change) {
    SmallGguf file;
    change(file);
    return load_gguf_tokenizer(file.metadata());
  };
  EXPECT_ERROR(changed([](auto& f) { f.pre = "zzz-bpe"; }), ErrorCode::kUnsupportedFeature, "zzz-bpe");
  EXPECT_ERROR(changed([](auto& f) { f.tokens[100] = f.tokens[5]; }), ErrorCode::kBadTokenizer, "100");
  EXPECT_ERROR(changed([](auto& f) { f.tokens[100] = ""; }), ErrorCode::kBadTokenizer, "100");
  EXPECT_ERROR(changed([](auto& f) { f.types.pop_back(); }), ErrorCode::kBadTokenizer, "token_type");
  EXPECT_ERROR(changed([](auto& f) { f.types[7] = 9; }), ErrorCode::kBadTokenizer, "token_type");
  EXPECT_ERROR(changed([](auto& f) { f.merges.push_back("q zz"); }), ErrorCode::kBadTokenizer, "q zz");
  const std::vector<std::string> many(70, "t h");  // more than are added at a time
  EXPECT_ERROR(changed([&](auto& f) { f.merges = many, f.merges[66] = "q zz"; }), ErrorCode::kBadTokenizer,
               "merges[66] is 'q zz', but");
  EXPECT_ERROR(changed([&](auto& f) { f.merges = many, f.merges[2] = "q zz", f.merges[66] = "th"; }),
               ErrorCode::kBadTokenizer, "merges[66] is 'th', not two parts");
  for (const char* merge : {"th", " th", "t ", "t h e", ""}) {
    EXPECT_ERROR(changed([&](auto& f) { f.merges = {merge}; }), ErrorCode::kBadTokenizer, "merges[0]");
  }
  for (const char* name : {"bos", "eos", "unknown", "seperator", "padding", "cls", "mask"}) {
    const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
    EXPECT_ERROR(changed([&](auto& f) { f.more = {{key, scalar(uint32_t{261})}}; }), ErrorCode::kBadTokenizer, key);
    EXPECT_ERROR(changed([&](auto& f) { f.more = {{key, scalar(int32_t{-1})}}; }), ErrorCode::kBadTokenizer, key);
  }
  EXPECT_ERROR(changed([](auto& f) {
                 f.more = {{"tokenizer.ggml.add_space_prefix", scalar(true)}};
               }),
               ErrorCode::kUnsupportedFeature, "add_space_prefix");
  EXPECT_ERROR(changed([](auto& f) {
                 f.more = {{"tokenizer.ggml.add_bos_token", scalar(std::string("yes"))}};
               }),
               ErrorCode::kBadType, "add_bos_token");
  GgufMetadata none("none.gguf");
  EXPECT_ERROR(load_gguf_tokenizer(none), ErrorCode::kNotFound, "none.gguf");
  none.add("tokenizer.ggml.model", scalar(std::string("none")));
  EXPECT_ERROR(load_gguf_tokenizer(none), ErrorCode::kNotFound, "none.gguf");
  GgufMetadata words("words.gguf");
  words.add("tokenizer.ggml.model", scalar(std::string("wordsalad")));
  EXPECT_ERROR(load_gguf_tokenizer(words), ErrorCode::kUnsupportedFeature, "wordsalad");
}

}  // namespace
}  // namespace duet
