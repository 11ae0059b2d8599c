#include "text/rank_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support.h"
#include "text/tokenizer_testing.h"

namespace duet {
namespace {

using test::ints;
using ::testing::ElementsAre;

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    unsigned bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[bits >> (18 - 6 * k) & 63];
  }
  return out;
}

/// The bytes with ranks 0 to 255, then "ab", "bc", "abcd" and "abcde".
std::string small_ranks() {
  std::string out;
  for (int b = 0; b < 256; ++b) out += base64(std::string(1, static_cast<char>(b))) + " " + std::to_string(b) + "\n";
  int rank = 256;
  for (const char* token : {"ab", "bc", "abcd", "abcde", "cd"}) {
    out += base64(token) + " " + std::to_string(rank++) + "\n";
  }
  return out;
}

const char* const kConfig = R"({"pretokenize_regex":"\\S+|\\s+","bos_token":"<b>","add_bos_token":true,
    "added_tokens_decoder":{"300":{"content":"<b>","special":true},"301":{"content":"<t>","special":false}}})";

std::unique_ptr<Tokenizer> load(const std::string& ranks, const std::string& config = kConfig) {
  const Json json = parse_json(config, "tokenizer_config.json");
  return load_rank_tokenizer(ranks, "r.tiktoken", &json);
}

TEST(RankTokenizer, JoinedBytesDecide) {
  const auto tokenizer = load(small_ranks());
  const auto ids = [&](std::string_view text, const EncodeOptions& options = {}) {
    return ints(tokenizer->encode(text, options));
  };
  EXPECT_THAT(ids("abc"), ElementsAre(256, 'c'));
  EXPECT_THAT(ids("xbcd"), ElementsAre('x', 257, 'd')) << "bc comes before cd";
  EXPECT_THAT(ids("xabcd"), ElementsAre('x', 258)) << "ab and cd are joined, though no file says so";
  EXPECT_THAT(ids("abcde"), ElementsAre(259)) << "a piece that is a token is that token";
  EXPECT_THAT(ids("<b>abc", {.parse_special = true, .add_special = true}), ElementsAre(300, 300, 256, 'c'));
  EXPECT_EQ(tokenizer->decode(test::token_ids({300, 258, 301}), true), "abcd<t>");
  EXPECT_EQ(tokenizer->bos(), TokenId{300});
}

TEST(RankTokenizer, FaultsAreNamed) {
  const std::string good = small_ranks();
  const auto bad = [&](const std::string& more, ErrorCode code, const char* word) {
    EXPECT_ERROR(load(good + more), code, word);
  };
  bad("!!!! 261\n", ErrorCode::kBadTokenizer, "line 262");
  bad("YQ 261\n", ErrorCode::kBadTokenizer, "YQ");
  bad("YR== 261\n", ErrorCode::kBadTokenizer, "YR==");
  bad("Y=== 261\n", ErrorCode::kBadTokenizer, "Y===");
  bad(" 261\n", ErrorCode::kBadTokenizer, "line 262");
  bad(base64("zz") + "\n", ErrorCode::kBadTokenizer, "line 262");
  bad(base64("zz") + " x\n", ErrorCode::kBadTokenizer, "line 262");
  bad(base64("zz") + " -1\n", ErrorCode::kBadTokenizer, "line 262");
  bad(base64("zz") + " 261 5\n", ErrorCode::kBadTokenizer, "line 262");
  bad(base64("zz") + " 260\n", ErrorCode::kBadTokenizer, "260");
  bad(base64("ab") + " 261\n", ErrorCode::kBadTokenizer, "256");
  bad(base64("zz") + " 262\n", ErrorCode::kBadTokenizer, "rank 261 is missing");
  bad(base64("zz") + " 99999999999999999999\n", ErrorCode::kBadTokenizer, "line 262");
  bad(base64("zz") + " 4194304\n", ErrorCode::kTooLarge, "4194304");
  EXPECT_ERROR(load(""), ErrorCode::kBadTokenizer, "no ranks");
  EXPECT_ERROR(load("YQ== 0\n"), ErrorCode::kBadTokenizer, "byte 0");
  EXPECT_ERROR(load(good, "{}"), ErrorCode::kUnsupportedFeature, "261 ranks");
  EXPECT_ERROR(load(good, R"({"pretokenize_regex":"("})"), ErrorCode::kBadTokenizer, "tokenizer_config.json");
  EXPECT_ERROR(load_rank_tokenizer(good, "r.tiktoken", nullptr), ErrorCode::kUnsupportedFeature, "261");
}

TEST(RankTokenizer, FoldersAreFoundByTheEnding) {
  const auto folder = test::temporary_folder();
  write_file_atomically(folder / "tokenizer_config.json", kConfig);
  EXPECT_ERROR(load_tokenizer(Checkpoint::open(folder)), ErrorCode::kNotFound, "tiktoken");
  write_file_atomically(folder / "some.tiktoken", small_ranks());
  EXPECT_THAT(ints(load_tokenizer(Checkpoint::open(folder))->encode("abc", {})), ElementsAre(256, 'c'));
  write_file_atomically(folder / "other.tiktoken", small_ranks());
  EXPECT_ERROR(load_tokenizer(Checkpoint::open(folder)), ErrorCode::kBadTokenizer, "other.tiktoken");
  write_file_atomically(folder / "tokenizer.model", small_ranks());
  EXPECT_THAT(ints(load_tokenizer(Checkpoint::open(folder))->encode("abc", {})), ElementsAre(256, 'c'));
}

}  // namespace
}  // namespace duet
