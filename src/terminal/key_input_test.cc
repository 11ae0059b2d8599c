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
  EXPECT_EQ(keys({"\x1b[200~one\rtwo\r\nthree\n\x1b[201~\r"}), U"one\x16\ntwo\x16\nthree\x16\n\r");
  EXPECT_EQ(keys({"\x1b[200~a\x03\x1b[Ab\x1b[201~"}), U"a\x16\x03[Ab");
}

TEST(KeyInput, PasteMarksInTwoReads) {
  const std::string all = "x\x1b[200~a\rb\x1b[201~y";
  for (size_t cut = 4; cut < all.size(); ++cut) {  // a cut within the first three bytes of a mark is a key by itself
    EXPECT_EQ(keys({all.substr(0, cut), all.substr(cut)}), U"xa\x16\nby") << cut;
  }
}

}  // namespace
}  // namespace duet
