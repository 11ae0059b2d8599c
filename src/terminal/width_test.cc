#include "terminal/width.h"

#include "tests/support.h"

namespace duet {
namespace {

struct Case {
  std::string_view text;
  int64_t columns;
};

TEST(Width, KnownTexts) {
  for (const auto& [text, columns] : {
           Case{"", 0},
           {"plain", 5},
           {"naïve", 5},
           {"nai\u0308ve", 5},         // a combining mark
           {"東京", 4},                // wide
           {"ﾊﾝｶｸ", 4},                // halfwidth
           {"Ａ１", 4},                // fullwidth
           {"한글", 4},                // syllables
           {"\u1112\u1161\u11ab", 2},  // one syllable of three letters
           {"αβγ", 3},                 // ambiguous
           {"—…“”", 4},
           {"é\u200b", 1},  // no room
           {"\u00ad", 1},   // soft hyphen
           {"שָׁלוֹם", 4},     // points
           {"हिन्दी", 5},    // Mc takes a column, Mn none
           {"ไทย", 3},
           {"🚀", 2},
           {"❤", 1},
           {"❤\ufe0f", 2},
           {"☎\ufe0e", 1},
           {"1\ufe0f\u20e3", 2},  // keycap
           {"🇩🇪", 2},
           {"🇩🇪🇫🇷", 4},
           {"🇩", 1},
           {"👍🏽", 2},
           {"☝🏽", 2},
           {"👩‍👩‍👧‍👦", 2},
           {"🏳\ufe0f‍🌈", 2},
           {"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", 2},  // England
           {"𠀀", 2},
           {"a\x7f\x01", 1},
           {"\xff", 1},  // U+FFFD
       }) {
    EXPECT_EQ(display_width(text), columns) << text;
  }
}

TEST(Width, GraphemesAreWhole) {
  EXPECT_EQ(next_grapheme("").bytes, 0u);
  EXPECT_EQ(next_grapheme("e\u0301x").bytes, 3u);
  EXPECT_EQ(next_grapheme("👩‍👩‍👧‍👦x").bytes, std::string_view("👩‍👩‍👧‍👦").size());
  EXPECT_EQ(next_grapheme("🇩🇪🇫🇷").bytes, 8u);
  EXPECT_EQ(next_grapheme("\r\n").bytes, 1u);
  EXPECT_EQ(next_grapheme("\n\u0301").bytes, 1u);
  EXPECT_EQ(next_grapheme("a\u200db").bytes, 4u);  // the joiner joins emoji only
}

TEST(Width, Cutting) {
  EXPECT_EQ(fitting("東京都", 5), "東京");
  EXPECT_EQ(fitting("e\u0301e", 1), "e\u0301");
  EXPECT_EQ(fitting("abc", 9), "abc");
  EXPECT_EQ(fitting("abc", 0), "");
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "ab…");
  EXPECT_EQ(shortened("東京都", 5), "東京…");
  EXPECT_EQ(shortened("東京都", 0), "");
}

}  // namespace
}  // namespace duet
