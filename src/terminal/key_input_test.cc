#include "terminal/key_input.h"

#include "tests/support.h"

namespace duet {
namespace {

std::u32string keys(const std::vector<std::string>& reads) {
  KeyInput input;
  std::u32string out;
  for (const std::string& bytes : reads) {
    input.feed(bytes);
    while (const auto key = input.next()) out += *key;
  }
  return out;
}

TEST(KeyInput, CharactersAndKeys) {
  EXPECT_EQ(keys({"a\xc3", "\xa9\r"}), U"aé\r");
  EXPECT_EQ(keys({"\x1b[A", "\x1b"}), U"\x1b[A\x1b");
  EXPECT_EQ(keys({"\x1b[2~x"}), U"\x1b[2~x");
  EXPECT_EQ(keys({"\xff!"}), U"\xfffd!");
}

TEST(KeyInput, PastedTextIsQuoted) {
  EXPECT_EQ(keys({"\x1b[200~one\rtwo\r\nthree\n\x1b[201~\r"}), U"one\x1etwo\x1ethree\x1e\r");
  EXPECT_EQ(keys({"\x1b[200~a\x03\x1b[Ab\x1b[201~"}), U"a\x16\x03[Ab");
}

TEST(KeyInput, PasteMarksInTwoReads) {
  const std::string all = "x\x1b[200~a\rb\x1b[201~y";
  for (size_t cut = 4; cut < all.size(); ++cut) {  // a cut within the first three bytes of a mark is a key by itself
    EXPECT_EQ(keys({all.substr(0, cut), all.substr(cut)}),
              U"xa\x1e"
              U"by")
        << cut;
  }
}

TEST(KeyInput, LargePastesHaveStandIns) {
  std::string text;
  for (int i = 0; i < 12; ++i) text += "line\r\n";
  KeyInput input;
  input.feed("a\x1b[200~" + text.substr(0, 20));
  std::u32string out;
  while (const auto key = input.next()) out += *key;
  EXPECT_TRUE(input.in_paste());
  input.feed(text.substr(20) + "\x1b[201~b");
  while (const auto key = input.next()) out += *key;
  EXPECT_FALSE(input.in_paste());
  EXPECT_EQ(out, U"a[pasted #1: 60 bytes, 13 lines]b");
  std::string plain;
  for (int i = 0; i < 12; ++i) plain += "line\n";
  const std::string line = "a[pasted #1: 60 bytes, 13 lines]b";
  EXPECT_EQ(input.expand(line), "a" + plain + "b");
  EXPECT_TRUE(input.has_stand_in(line));
  EXPECT_FALSE(input.has_stand_in("[pasted #1: 60 bytes, 13 line"));
  EXPECT_FALSE(input.take_pasted("").empty());
  EXPECT_EQ(input.take_pasted(line), std::vector<std::string>{plain});  // brought back from the history
  EXPECT_TRUE(input.take_pasted("").empty());
}

TEST(KeyInput, APasteCanBeInterrupted) {
  KeyInput input;
  input.feed("ab\x1b[200~one\rtwo");
  EXPECT_EQ(input.next(), U'a');
  EXPECT_EQ(input.next(), U'b');
  EXPECT_FALSE(input.next());
  input.interrupt();
  input.feed("three\r\x1b[201~x");
  EXPECT_EQ(input.next(), U'x');
  EXPECT_FALSE(input.next());
  input.feed("\x1b[200~lost end");
  EXPECT_FALSE(input.next());
  input.end_paste();
  EXPECT_EQ(input.next(), U'l');
}

}  // namespace
}  // namespace duet
