#include "text/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "tests/support.h"
#include "text/detokenizer.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_testing.h"

namespace duet {
namespace {

using test::ints;
using ::testing::ElementsAre;

// The protocol buffer format, written by hand.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  return out + static_cast<char>(value);
}
std::string number(int field, uint64_t value) { return varint(static_cast<uint64_t>(field) << 3) + varint(value); }
std::string bytes(int field, const std::string& value) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(value.size()) + value;
}
std::string score(float value) {
  std::string out = varint(2 << 3 | 5);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(std::bit_cast<uint32_t>(value) >> (8 * i) & 0xff);
  return out;
}
std::string piece(const std::string& text, float value, uint64_t type = 1) {
  return bytes(1, bytes(1, text) + score(value) + (type == 1 ? "" : number(3, type)));
}

/// Unknown, BOS, EOS, the bytes, U+2581, a, b, U+2581 a, ab, then "<u>" as a piece of the user.
struct SmallModel {
  std::string pieces;
  std::string trainer = number(3, 2) + number(35, 1);
  std::string normalizer = bytes(1, "identity") + number(4, 0);
  std::string more;
  SmallModel() {
    pieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3);
    for (int b = 0; b < 256; ++b) pieces += piece(fmt::format("<0x{:02X}>", b), 0, 6);
    pieces += piece("\u2581", -3) + piece("a", -4) + piece("b", -5) + piece("\u2581a", -1) + piece("ab", -0.5F) +
              piece("<u>", 0, 4);
  }
  std::string file() const { return pieces + bytes(2, trainer) + bytes(3, normalizer) + more; }
};

std::unique_ptr<Tokenizer> load(const SmallModel& model, const char* config = "{}") {
  const Json json = parse_json(config, "tokenizer_config.json");
  return load_sentencepiece_tokenizer(model.file(), "tokenizer.model", &json);
}

constexpr int kSpace = 259, kA = 260, kB = 261, kSpaceA = 262, kAb = 263, kUser = 264;
int byte_id(int b) { return 3 + b; }

TEST(SentencePiece, TextIsPiecesAndBytes) {
  const auto tokenizer = load({});
  const auto ids = [&](std::string_view text, const EncodeOptions& options = {}) {
    return ints(tokenizer->encode(text, options));
  };
  EXPECT_THAT(ids("ab a"), ElementsAre(kSpace, kAb, kSpaceA)) << "ab has the higher score";
  EXPECT_THAT(ids(""), ElementsAre());
  EXPECT_THAT(ids("\u00e9"), ElementsAre(kSpace, byte_id(0xc3), byte_id(0xa9)));
  EXPECT_THAT(ids("<s>a").size(), 5U) << "control pieces in data are characters";
  EXPECT_THAT(ids("<s>a<u>b", {.parse_special = true}), ElementsAre(1, kSpaceA, kUser, kSpace, kB));
  EXPECT_THAT(ids("a", {.add_special = true}), ElementsAre(kSpaceA)) << "the configuration decides, and says nothing";
  const auto both = load({}, R"({"add_bos_token":true,"add_eos_token":true,"bos_token":"<s>","eos_token":"</s>"})");
  EXPECT_THAT(ints(both->encode("a", {.add_special = true})), ElementsAre(1, kSpaceA, 2));
  const auto first = load({}, R"({"legacy":false})");
  EXPECT_THAT(ints(first->encode("a<u>b", {.parse_special = true})), ElementsAre(kSpaceA, kUser, kB));
}

TEST(SentencePiece, TheSpaceInFrontIsDroppedOnTheWayBack) {
  const auto tokenizer = load({});
  const std::vector<TokenId> ids = test::token_ids({1, kSpaceA, byte_id(0xc3), byte_id(0xa9), kSpace, kB});
  EXPECT_EQ(tokenizer->decode(ids, true), "a\u00e9 b");
  EXPECT_EQ(tokenizer->decode(ids, false), "<s> a\u00e9 b");
  Detokenizer stream(*tokenizer, true);
  std::vector<std::string> out;
  for (const TokenId id : ids) out.push_back(stream.push(id));
  EXPECT_THAT(out, ElementsAre("", "a", "", "\u00e9", " ", "b"));
  SmallModel plain;
  plain.normalizer += number(3, 0);
  EXPECT_EQ(load(plain)->decode(ids, true), " a\u00e9 b");
  EXPECT_THAT(ints(load(plain)->encode("a", {})), ElementsAre(kA));
}

TEST(SentencePiece, OptionsThatDuetDoesNotHaveAreNamed) {
  const auto refused = [](auto change, const char* word) {
    SmallModel model;
    change(model);
    EXPECT_ERROR(load(model), ErrorCode::kUnsupportedFeature, word);
  };
  refused([](auto& m) { m.trainer = number(3, 1); }, "model_type");
  refused([](auto& m) { m.trainer = ""; }, "model_type");
  refused([](auto& m) { m.trainer += number(24, 1); }, "treat_whitespace_as_suffix");
  refused([](auto& m) { m.normalizer = bytes(1, "identity"); }, "remove_extra_whitespaces");
  refused([](auto& m) { m.normalizer += number(5, 0); }, "escape_whitespaces");
  refused([](auto& m) { m.normalizer += bytes(2, "table"); }, "table");
  refused([](auto& m) { m.pieces += piece("zz", 0, 5); }, "zz");
}

TEST(SentencePiece, FaultsAreNamed) {
  const auto bad = [](auto change, const char* word) {
    SmallModel model;
    change(model);
    EXPECT_ERROR(load(model), ErrorCode::kBadTokenizer, word);
  };
  bad([](auto& m) { m.pieces += piece("ab", 0); }, "'ab'");
  bad([](auto& m) { m.pieces += bytes(1, score(0)); }, "piece 265");
  bad([](auto& m) { m.pieces += piece("q", std::numeric_limits<float>::quiet_NaN()); }, "piece 265");
  bad([](auto& m) { m.pieces += piece("q", 0, 7); }, "type");
  bad([](auto& m) { m.pieces += piece("\xff", 0); }, "UTF-8");
  bad([](auto& m) { m.pieces += bytes(1, number(1, 5)); }, "wire type");
  bad([](auto& m) { m.trainer += number(41, 9999); }, "bos_id");
  bad([](auto& m) { m.trainer += number(40, UINT64_MAX - 1); }, "unk_id");
  bad([](auto& m) { m.more = "\x0a\xff"; }, "breaks off");
  bad([](auto& m) { m.more = std::string("\x0a\x7f") + "x"; }, "more bytes than there are");
  bad([](auto& m) { m.more = "\x0b"; }, "wire type");
  bad([](auto& m) { m.more = std::string("\x00\x00", 2); }, "number outside");
  bad([](auto& m) { m.more = "\x08" + std::string(10, '\xff') + "\x01"; }, "64 bits");
  EXPECT_ERROR(load_sentencepiece_tokenizer("", "tokenizer.model", nullptr), ErrorCode::kBadTokenizer, "no pieces");
  // Wherever the file is cut: an error, or a model that lacks what came behind; never more.
  const std::string whole = SmallModel().file();
  for (size_t size = 0; size < whole.size(); size += size < 100 || size + 100 > whole.size() ? 1 : 37) {
    try {
      load_sentencepiece_tokenizer(whole.substr(0, size), "tokenizer.model", nullptr);
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::kBadTokenizer || error.code() == ErrorCode::kUnsupportedFeature) << size;
    }
  }
}

TEST(SentencePiece, GgufFilesHoldTheSamePieces) {
  const auto gguf = [](auto change) {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "\u2581", "a", "\u2581a"};
    std::vector<float> scores = {0, 0, 0, -3, -2, -1};
    std::vector<int32_t> types = {2, 3, 3, 1, 1, 1};
    std::string pre = "default";
    change(tokens, scores, types, pre);
    GgufMetadata out("spm.gguf");
    out.add("tokenizer.ggml.model", test::scalar(std::string("llama")));
    out.add("tokenizer.ggml.pre", test::scalar(pre));
    out.add("tokenizer.ggml.tokens", test::array(TextList(tokens)));
    out.add("tokenizer.ggml.scores", test::array(scores));
    out.add("tokenizer.ggml.token_type", test::array(types));
    out.add("tokenizer.ggml.bos_token_id", test::scalar(uint32_t{1}));
    out.add("tokenizer.ggml.unknown_token_id", test::scalar(uint32_t{0}));
    return load_gguf_tokenizer(out);
  };
  const auto good = gguf([](auto&, auto&, auto&, auto&) {});
  EXPECT_THAT(ints(good->encode("a aqz", {.add_special = true})), ElementsAre(1, 5, 5, 0))
      << "BOS is this kind's habit";
  EXPECT_ERROR(gguf([](auto&, auto& s, auto&, auto&) { s.pop_back(); }), ErrorCode::kBadTokenizer, "scores");
  EXPECT_ERROR(gguf([](auto&, auto& s, auto&, auto&) { s[3] = std::numeric_limits<float>::infinity(); }),
               ErrorCode::kBadTokenizer, "inf");
  EXPECT_ERROR(gguf([](auto&, auto&, auto& t, auto&) { t[3] = 9; }), ErrorCode::kBadTokenizer, "token_type");
  EXPECT_ERROR(gguf([](auto& t, auto&, auto&, auto&) { t[3] = "a"; }), ErrorCode::kBadTokenizer, "'a'");
  EXPECT_ERROR(gguf([](auto&, auto&, auto&, auto& pre) { pre = "jais"; }), ErrorCode::kUnsupportedFeature, "jais");
}

}  // namespace
}  // namespace duet
