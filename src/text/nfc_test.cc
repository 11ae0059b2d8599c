#include "text/nfc.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <vector>

#include "base/utf8.h"
#include "text/unicode.h"

namespace duet {
namespace {

std::string utf8(const std::u32string& text) {
  std::string out;
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

std::string oracle(const std::string& text) {
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  EXPECT_GE(size, 0);
  std::string result(reinterpret_cast<const char*>(out), static_cast<size_t>(size));
  std::free(out);
  return result;
}

/// Whether the oracle's Unicode (15) knows the character: it composes fewer pairs than ours.
bool is_known(char32_t code) {
  return utf8proc_codepoint_valid(static_cast<utf8proc_int32_t>(code)) &&
         utf8proc_get_property(static_cast<utf8proc_int32_t>(code))->category != UTF8PROC_CATEGORY_CN;
}

TEST(Nfc, EveryCharacterAlone) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (!is_known(code)) continue;
    const std::string text = utf8({code});
    ASSERT_EQ(nfc(text), oracle(text)) << std::hex << static_cast<uint32_t>(code);
    if (nfc(text) != text) {
      ASSERT_FALSE(is_plainly_nfc(text)) << std::hex << static_cast<uint32_t>(code);
    }
  }
}

TEST(Nfc, RandomSequences) {
  // Characters that decompose, compose or reorder, their parts, Hangul, and plain ones between.
  std::vector<char32_t> pool = {U'a',   U'e',   U' ',   0x1100, 0x1161, 0x11a8,
                                0x1175, 0x11c2, 0xac00, 0xac01, 0xd7a3, 0x4e00};
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (is_known(code) && (character_class(code) & kNotNfc) != 0) pool.push_back(code);
    const std::u32string_view parts = is_known(code) ? canonical_decomposition(code) : std::u32string_view{};
    pool.insert(pool.end(), parts.begin(), parts.end());
  }
  std::mt19937 random(20260101);
  for (int round = 0; round < 200000; ++round) {
    std::u32string text;
    for (size_t n = 1 + random() % 8; n > 0; --n) text += pool[random() % pool.size()];
    const std::string bytes = utf8(text);
    ASSERT_EQ(nfc(bytes), oracle(bytes)) << "round " << round;
    ASSERT_EQ(nfc(nfc(bytes)), nfc(bytes)) << "round " << round;
  }
}

TEST(Nfc, EveryPairOfACompositeComposes) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    const std::u32string_view parts = canonical_decomposition(code);
    if (parts.empty() || !is_known(code)) continue;
    const std::string bytes = utf8(U"x" + std::u32string(parts) + U"y");
    ASSERT_EQ(nfc(bytes), oracle(bytes)) << std::hex << static_cast<uint32_t>(code);
  }
}

TEST(Nfc, LongRunsOfMarksAreSortedStably) {
  std::mt19937 random(7);
  const std::u32string marks = U"\u0301\u0323\u0327\u0302\u0334\u0345\u0315\u05b0\u3099";
  std::u32string text = U"a";
  for (int i = 0; i < 3000; ++i) text += marks[random() % marks.size()];
  EXPECT_EQ(nfc(utf8(text)), oracle(utf8(text)));
}

TEST(Nfc, KnownCases) {
  EXPECT_EQ(nfc(""), "");
  EXPECT_EQ(nfc("plain ASCII"), "plain ASCII");
  EXPECT_EQ(nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(nfc("q\u0307\u0323"), "q\u0323\u0307");
  EXPECT_EQ(nfc("\u212b"), "\u00c5");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(nfc("\u0301\u0301"), "\u0301\u0301");
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c") << "a composition exclusion";
  EXPECT_TRUE(is_plainly_nfc("\u00e9 \uac01"));
  EXPECT_FALSE(is_plainly_nfc("e\u0301"));
  EXPECT_EQ(unicode_version(), "16.0.0");
}

TEST(Unicode, Classes) {
  EXPECT_EQ(character_class(U'a') & (kLetter | kNumber | kSpace | kUpperLike | kLowerLike | kWord),
            kLetter | kLowerLike | kWord);
  EXPECT_NE(character_class(0x3000) & kSpace, 0);
  EXPECT_EQ(character_class(0x200b) & kSpace, 0);
  EXPECT_EQ(character_class(0x1c) & kSpace, 0);
  EXPECT_NE(character_class(0x85) & kSpace, 0);
  EXPECT_NE(character_class(0x2460) & kNumber, 0);
  EXPECT_EQ(character_class(0x2460) & kWord, 0);
  EXPECT_NE(character_class(U'_') & kWord, 0);
  EXPECT_NE(character_class(0x24b6) & kWord, 0);
  EXPECT_EQ(character_class(0xd800), 0);
  EXPECT_EQ(character_class(0x7fffffff), 0);
}

}  // namespace
}  // namespace duet
