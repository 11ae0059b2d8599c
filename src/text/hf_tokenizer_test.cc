#include "text/hf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support.h"
#include "text/tokenizer_testing.h"

namespace duet {
namespace {

using test::ints;
using ::testing::ElementsAre;

/// A tokenizer.json with the bytes as ids 0 to 255, "th", "the" and two added tokens, as text whose parts tests
/// replace.
struct SmallJson {
  std::string added = R"([{"id":258,"content":"<|bos|>","special":true},
                          {"id":259,"content":"<tool>","special":false,"normalized":false}])";
  std::string normalizer = "null";
  std::string pre = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";
  std::string post = "null";
  std::string decoder = R"({"type":"ByteLevel"})";
  std::string model = R"("type":"BPE")";
  std::string vocab_more = R"(,"th":256,"the":257)";
  std::string merges = R"(["t h",["th","e"]])";
  std::string config;

  std::unique_ptr<Tokenizer> load() const {
    std::string vocab;
    for (int b = 0; b < 256; ++b) {
      vocab += (b > 0 ? "," : "") + json_quote(spell_byte(static_cast<unsigned char>(b))) + ":" + std::to_string(b);
    }
    const Json json =
        parse_json(R"({"added_tokens":)" + added + R"(,"normalizer":)" + normalizer + R"(,"pre_tokenizer":)" + pre +
                       R"(,"post_processor":)" + post + R"(,"decoder":)" + decoder + R"(,"model":{)" + model +
                       R"(,"vocab":{)" + vocab + vocab_more + R"(},"merges":)" + merges + "}}",
                   "tokenizer.json");
    if (config.empty()) return load_hf_tokenizer(json, nullptr);
    const Json config_json = parse_json(config, "tokenizer_config.json");
    return load_hf_tokenizer(json, &config_json);
  }
};

template <typename Change>
std::unique_ptr<Tokenizer> changed(Change change) {
  SmallJson file;
  change(file);
  return file.load();
}

std::vector<int> encode(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {}) {
  return ints(tokenizer.encode(text, options));
}

TEST(HfTokenizer, EncodesAndDecodes) {
  const auto tokenizer = SmallJson().load();
  EXPECT_THAT(encode(*tokenizer, "the t<tool>"), ElementsAre(257, ' ', 't', '<', 't', 'o', 'o', 'l', '>'));
  EXPECT_THAT(encode(*tokenizer, "the t<tool>", {.parse_special = true}), ElementsAre(257, ' ', 't', 259));
  EXPECT_EQ(tokenizer->decode(test::token_ids({258, 257, 259}), true), "the<tool>");
  EXPECT_EQ(tokenizer->vocabulary_size(), 260);
}

TEST(HfTokenizer, ThePostProcessorDecidesOnBosAndEos) {
  const std::string bos = R"({"SpecialToken":{"id":"<|bos|>"}})", text = R"({"Sequence":{"id":"A"}})";
  const std::string table = R"("special_tokens":{"<|bos|>":{"ids":[258]}})";
  const auto with = [&](const std::string& single) {
    return R"({"type":"TemplateProcessing","single":[)" + single + "]," + table + "}";
  };
  const auto load = [&](const std::string& post) { return changed([&](auto& f) { f.post = post; }); };
  EXPECT_THAT(encode(*load(with(bos + "," + text)), "x", {.add_special = true}), ElementsAre(258, 'x'));
  EXPECT_THAT(encode(*load(with(bos + "," + text)), "x"), ElementsAre('x'));
  EXPECT_THAT(encode(*load(with(text + "," + bos + "," + bos)), "x", {.add_special = true}),
              ElementsAre('x', 258, 258));
  EXPECT_THAT(encode(*load(R"({"type":"Sequence","processors":[{"type":"ByteLevel"},)" + with(bos + "," + text) + "]}"),
                     "x", {.add_special = true}),
              ElementsAre(258, 'x'));
  EXPECT_ERROR(load(with(bos)), ErrorCode::kBadTokenizer, "sequence A");
  EXPECT_ERROR(load(with(text + "," + text)), ErrorCode::kBadTokenizer, "single");
  EXPECT_ERROR(
      load(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|zzz|>"}}],"special_tokens":{}})"),
      ErrorCode::kBadTokenizer, "<|zzz|>");
  EXPECT_ERROR(
      load(R"({"type":"TemplateProcessing","single":[)" + bos + R"(],"special_tokens":{"<|bos|>":{"ids":[999]}}})"),
      ErrorCode::kBadTokenizer, "999");
  EXPECT_ERROR(load(R"({"type":"RobertaProcessing"})"), ErrorCode::kUnsupportedFeature, "RobertaProcessing");
}

TEST(HfTokenizer, TheConfigurationNamesTokensAndMayAddSome) {
  const auto tokenizer = changed([](auto& f) {
    f.config = R"({"bos_token":"<|bos|>","eos_token":{"content":"<|end|>"},"pad_token":null,"add_bos_token":true,
                   "added_tokens_decoder":{"259":{"content":"<tool>","special":true},"260":{"content":"<|end|>","special":true}}})";
  });
  EXPECT_EQ(tokenizer->bos(), TokenId{258});
  EXPECT_EQ(tokenizer->eos(), TokenId{260});
  EXPECT_THAT(tokenizer->special_token_strings(),
              ElementsAre(std::pair<std::string, std::string>("bos_token", "<|bos|>"),
                          std::pair<std::string, std::string>("eos_token", "<|end|>")));
  EXPECT_FALSE(tokenizer->is_special(TokenId{259})) << "tokenizer.json comes first";
  EXPECT_TRUE(tokenizer->is_special(TokenId{260}));
  EXPECT_THAT(encode(*tokenizer, "<|end|>", {.parse_special = true, .add_special = true}), ElementsAre(260))
      << "add_bos_token counts only without tokenizer.json";
  const auto with = [](const char* entry) {
    return changed([&](auto& f) { f.config = std::string(R"({"added_tokens_decoder":{)") + entry + "}}"; });
  };
  EXPECT_ERROR(with(R"("five":{"content":"x"})"), ErrorCode::kBadValue, "five");
  EXPECT_ERROR(with(R"("-5":{"content":"x"})"), ErrorCode::kBadValue, "-5");
  EXPECT_ERROR(with(R"("259":{"content":"<other>"})"), ErrorCode::kBadTokenizer, "<other>");
  EXPECT_ERROR(with(R"("5":{"content":"<other>"})"), ErrorCode::kBadTokenizer, "<other>");
  EXPECT_ERROR(with(R"("270":{"content":""})"), ErrorCode::kBadTokenizer, "270");
  EXPECT_ERROR(with(R"("270":{})"), ErrorCode::kMissingKey, "content");
  EXPECT_ERROR(changed([](auto& f) { f.config = R"({"bos_token":5})"; }), ErrorCode::kBadType, "bos_token");
}

TEST(HfTokenizer, StagesAreObeyed) {
  const auto nfc = changed([](auto& f) { f.normalizer = R"({"type":"Sequence","normalizers":[{"type":"NFC"}]})"; });
  EXPECT_THAT(encode(*nfc, "e\u0301"), ElementsAre(0xc3, 0xa9));
  const auto prefix = changed([](auto& f) { f.pre = R"({"type":"ByteLevel"})"; });
  EXPECT_THAT(encode(*prefix, "a"), ElementsAre(' ', 'a')) << "add_prefix_space and use_regex are true where absent";
  const auto inverted = changed([](auto& f) {
    f.pre =
        R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},"behavior":"Removed","invert":true},
                {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
  });
  EXPECT_THAT(encode(*inverted, "the"), ElementsAre(257));
  const auto whole = changed([](auto& f) { f.model += R"(,"ignore_merges":true)", f.merges = "[]"; });
  EXPECT_THAT(encode(*whole, "the th"), ElementsAre(257, ' ', 't', 'h'));
}

TEST(HfTokenizer, RefusesWhatItDoesNotKnow) {
  const auto unsupported = [](auto change, const char* word) {
    EXPECT_ERROR(changed(change), ErrorCode::kUnsupportedFeature, word);
  };
  unsupported([](auto& f) { f.model = R"("type":"Unigram")"; }, "Unigram");
  unsupported([](auto& f) { f.model += R"(,"byte_fallback":true)"; }, "byte_fallback");
  unsupported([](auto& f) { f.model += R"(,"dropout":0.5)"; }, "dropout");
  unsupported([](auto& f) { f.model += R"(,"end_of_word_suffix":"</w>")"; }, "</w>");
  unsupported([](auto& f) { f.normalizer = R"({"type":"Rot13"})"; }, "Rot13");
  unsupported(
      [](auto& f) { f.normalizer = R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]})"; },
      "Lowercase");
  unsupported([](auto& f) { f.pre = "null"; }, "pre_tokenizer");
  unsupported([](auto& f) { f.pre = R"({"type":"Digits","individual_digits":true})"; }, "without ByteLevel");
  unsupported(
      [](auto& f) { f.pre = R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]})"; },
      "order");
  unsupported([](auto& f) { f.pre = R"({"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Removed"})"; },
              "Removed");
  unsupported([](auto& f) { f.pre = R"({"type":"Split","pattern":{"String":"ab"},"behavior":"Isolated"})"; }, "ab");
  unsupported([](auto& f) { f.decoder = R"({"type":"Ring"})"; }, "Ring");
  unsupported([](auto& f) { f.decoder = "null"; }, "decoder");
}

TEST(HfTokenizer, RefusesWhatIsInconsistent) {
  const auto bad = [](auto change, const char* word) { EXPECT_ERROR(changed(change), ErrorCode::kBadTokenizer, word); };
  bad([](auto& f) { f.vocab_more = R"(,"th":256,"the":256)"; }, "256");
  bad([](auto& f) { f.vocab_more = R"(,"th":256,"the":-1)"; }, "-1");
  bad([](auto& f) { f.vocab_more = R"(,"th":256,"the":4000000000)"; }, "4000000000");
  bad([](auto& f) { f.vocab_more = R"(,"th":256,"the":18446744073709551616)"; }, "18446744073709551616");
  bad([](auto& f) { f.vocab_more = R"(,"th":256,"the":"257")"; }, "257");
  bad([](auto& f) { f.vocab_more = R"(,"":256)"; }, "256");
  bad([](auto& f) { f.merges = R"(["t h","q zz"])"; }, "'zz'");
  bad([](auto& f) { f.merges = R"(["h t"])"; }, "'ht'");
  for (const char* merge : {"\"in\"", "\"a b c\"", "\" a\"", "\"a \"", "[\"a\"]", "[\"a\",5]", "7", "[\"\",\"a\"]"}) {
    bad([&](auto& f) { f.merges = "[" + std::string(merge) + "]"; }, "merge 0");
  }
  bad([](auto& f) { f.model += R"(,"unk_token":"<nothing>")"; }, "<nothing>");
  bad([](auto& f) { f.added = R"([{"id":5,"content":"<|pad|>"}])"; }, "<|pad|>");
  bad([](auto& f) { f.added = R"([{"id":300,"content":"the"}])"; }, "the");
  bad([](auto& f) { f.added = R"([{"id":300,"content":""}])"; }, "300");
  bad([](auto& f) { f.added = R"([{"id":300,"content":"x1"},{"id":300,"content":"x1"}])"; }, "300");
  for (const char* broken : {"(?<x", "(a", "a)", "[a", "a\\\\", "(*LIMIT_MATCH=1)a"}) {
    bad(
        [&](auto& f) {
          f.pre = R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":")" + std::string(broken) +
                  R"("},"behavior":"Isolated"},{"type":"ByteLevel"}]})";
        },
        "no regular expression");
  }
  EXPECT_ERROR(changed([](auto& f) { f.merges = "{}"; }), ErrorCode::kBadType, "merges");
  EXPECT_ERROR(changed([](auto& f) { f.added = R"([{"id":300}])"; }), ErrorCode::kMissingKey, "content");
  EXPECT_ERROR(load_hf_tokenizer(parse_json("{}", "tokenizer.json"), nullptr), ErrorCode::kMissingKey, "model");
}

TEST(HfTokenizer, FoldersWithoutOrWithBadFiles) {
  const auto folder = test::temporary_folder();
  write_file_atomically(folder / "config.json", "{}");
  EXPECT_ERROR(load_tokenizer(Checkpoint::open(folder)), ErrorCode::kNotFound, "tokenizer.json");
  write_file_atomically(folder / "tokenizer.json", "[]");
  EXPECT_ERROR(load_tokenizer(Checkpoint::open(folder)), ErrorCode::kBadJson, "tokenizer.json");
  write_file_atomically(folder / "tokenizer.json", "{'a': 1}");
  EXPECT_ERROR(load_tokenizer(Checkpoint::open(folder)), ErrorCode::kBadJson, "tokenizer.json");
}

}  // namespace
}  // namespace duet
