#include "text/tokenizer_json.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support.h"
#include "text/hf_tokenizer.h"

namespace duet {
namespace {

std::string file(const std::string& vocab, const std::string& merges, const std::string& more = "") {
  return R"({"version":"1.0","added_tokens":[],"normalizer":null,"model":{"type":"BPE","vocab":)" + vocab +
         R"(,"merges":)" + merges + R"(},"decoder":{"type":"ByteLevel"}})" + more;
}

TEST(TokenizerJson, TheTablesAreWhatTheTreeHas) {
  const std::string text = file(R"({ "a" : 0, "\u00e9\n\"\\\/":1 ,"\ud83d\ude00":22, "b":3})",
                                R"([ "a b", ["a" , "\u00e9"], ["a b", "c"] ])");
  const auto parts = split_tokenizer_json(text);
  ASSERT_TRUE(parts.has_value());
  const Json whole = parse_json(text, "t");
  const Json& model = *whole.find("model");
  ASSERT_EQ(parts->vocab.size(), model.find("vocab")->object().size());
  for (size_t i = 0; i < parts->vocab.size(); ++i) {
    EXPECT_EQ(parts->vocab[i].first, model.find("vocab")->object()[i].first);
    EXPECT_EQ(parts->vocab[i].second, model.find("vocab")->object()[i].second.integer());
  }
  ASSERT_EQ(parts->merges.size(), 3U);
  EXPECT_EQ(parts->merges[0], (std::pair<std::string_view, std::string_view>("a", "b")));
  EXPECT_EQ(parts->merges[1].second, "\u00e9");
  EXPECT_EQ(parts->merges[2].first, "a b");
  EXPECT_EQ(parts->document.dump(), parse_json(file("{}", "[]"), "t").dump());
}

// Whatever is not as it nearly always is goes the careful way, where its fault is named.
TEST(TokenizerJson, FaultsAreLeftToTheCarefulWay) {
  const std::string good = file(R"({"a":0})", "[]");
  ASSERT_TRUE(split_tokenizer_json(good).has_value());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(split_tokenizer_json(good.substr(0, size)).has_value()) << size;
  }
  for (const char* vocab : {R"({"a":01})", R"({"a":-1})", R"({"a":1.0})", R"({"a":"1"})", R"({"a":1e2})", R"({"a":1,})",
                            R"({"a" 1})", R"({"\x":1})", R"({"\ud800":1})", R"({"\udc00":1})", R"({"\u12":1})",
                            "{\"a\n\":1}", "{\"\xff\":1}", R"({"a":9999999999})", "[]", R"({"a":1)", "{'a':1}"}) {
    EXPECT_FALSE(split_tokenizer_json(file(vocab, "[]")).has_value()) << vocab;
  }
  for (const char* merges : {R"(["ab"])", R"(["a b c"])", R"([" a"])", R"(["a "])", R"([["a"]])", R"([["a","b","c"]])",
                             R"([["","b"]])", R"([1])", R"(["a b",])", "{}", R"(["a b")"}) {
    EXPECT_FALSE(split_tokenizer_json(file(R"({"a":0})", merges)).has_value()) << merges;
  }
  EXPECT_FALSE(split_tokenizer_json(file(R"({"a":0})", "[]", "x")).has_value());
  EXPECT_FALSE(split_tokenizer_json("[]").has_value());
  EXPECT_FALSE(split_tokenizer_json(R"({"model":{"vocab":{"a":0},"vocab":{"b":0}}})").has_value());
  EXPECT_FALSE(split_tokenizer_json(R"({"a":1,"a":2,"model":{"vocab":{"a":0}}})").has_value());
  EXPECT_ERROR(parse_hf_tokenizer(file(R"({"a":0,"a":1})", "[]"), nullptr), ErrorCode::kBadKey, "'a'");
  EXPECT_ERROR(parse_hf_tokenizer(file(R"({"a":0})", R"(["a b"])"), nullptr), ErrorCode::kUnsupportedFeature,
               "pre_tokenizer");
}

}  // namespace
}  // namespace duet
