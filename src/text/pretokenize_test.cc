#include "text/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcre2.h>

#include <memory>
#include <random>

#include "base/utf8.h"

namespace duet {
namespace {

using ::testing::ElementsAre;
using Kind = PreTokenizer::Kind;

/// PCRE2 with Unicode properties. Its case folding lets (?i:'s) match U+017F, as the reference does.
class Oracle {
 public:
  explicit Oracle(std::string_view pattern) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                              &code, &offset, nullptr));
    EXPECT_NE(code_, nullptr) << "pattern does not compile at " << offset;
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
  }
  /// End of the match that must start at `begin`.
  size_t match_end(std::string_view text, size_t begin) {
    const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                                  PCRE2_NO_UTF_CHECK, match_.get(), nullptr);
    EXPECT_GT(found, 0);
    EXPECT_EQ(pcre2_get_ovector_pointer(match_.get())[0], begin) << "a gap";
    return pcre2_get_ovector_pointer(match_.get())[1];
  }

 private:
  struct Free {
    void operator()(pcre2_code* p) const { pcre2_code_free(p); }
    void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

class Patterns : public ::testing::TestWithParam<SplitPattern> {};

TEST_P(Patterns, AgreeWithPcreOnRandomText) {
  Oracle oracle(split_pattern_text(GetParam()));
  // Every class that the patterns tell apart, several characters of each, and the letters of the contractions.
  const std::vector<std::string> pool = {
      "a",      "B",      "'",          "s",      "S",      "t",      "R",      "e",      "v",      "E",
      "m",      "l",      "L",          "d",      "\u017f", "\u00e9", "\u00c9", "\u01c5", "\u02b0", "\u4e2d",
      "\u05d0", "\u0301", "\u0903",     "\u20dd", "1",      "23",     "\u0663", "\u2460", "\u00bd", " ",
      "  ",     "\t",     "\n",         "\r",     "\r\n",   "\u00a0", "\u3000", "\u0085", "\u2028", "\u200b",
      ".",      "/",      "\U0001f600", "$",      "_",      "\u00ad", "(",      "\x1c"};
  std::mt19937 random(42);
  for (int round = 0; round < 60000; ++round) {
    std::string text;
    for (size_t n = 1 + random() % 12; n > 0; --n) text += pool[random() % pool.size()];
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = match_end(GetParam(), text, begin);
      ASSERT_EQ(end, oracle.match_end(text, begin)) << "round " << round << " at " << begin << " of '" << text << "'";
      ASSERT_GT(end, begin);
      begin = end;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Patterns,
                         ::testing::Values(SplitPattern::kGpt2, SplitPattern::kLlama3, SplitPattern::kQwen2,
                                           SplitPattern::kQwen35, SplitPattern::kLlama4));

std::vector<std::string> pieces(const PreTokenizer& splitter, std::string_view text) {
  std::vector<std::string> out;
  splitter.split(text, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

TEST(PreTokenizer, DigitsThenPattern) {
  const PreTokenizer smollm({{Kind::kDigits}, {Kind::kPattern, SplitPattern::kGpt2}});
  EXPECT_THAT(pieces(smollm, "a 12 b"), ElementsAre("a", " ", "1", "2", " b"));
  EXPECT_THAT(pieces(smollm, ""), ElementsAre());
  const PreTokenizer runs({{Kind::kDigitRuns}});
  EXPECT_THAT(pieces(runs, "a12\u0663b4"), ElementsAre("a", "12\u0663", "b", "4"));
}

TEST(PreTokenizer, PrefixSpaceIsPutBeforeEachPiece) {
  const PreTokenizer prefixed({{Kind::kDigits}, {Kind::kPrefixSpace}, {Kind::kPattern, SplitPattern::kGpt2}});
  EXPECT_THAT(pieces(prefixed, "ab1 c"), ElementsAre(" ab", " 1", " c"));
}

TEST(PreTokenizer, PatternsAreFoundByTheirText) {
  for (const SplitPattern pattern : {SplitPattern::kGpt2, SplitPattern::kLlama3, SplitPattern::kLlama4}) {
    EXPECT_EQ(split_pattern_from_text(split_pattern_text(pattern)), pattern);
  }
  EXPECT_EQ(split_pattern_from_text("\\w+"), std::nullopt);
}

}  // namespace
}  // namespace duet
