#include "text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "text/byte_level.h"

namespace duet {
namespace {

using ::testing::ElementsAre;

std::vector<int> encode(const ByteBpe& model, std::string_view piece) {
  std::vector<TokenId> ids;
  std::vector<int32_t> symbols;
  model.encode(piece, symbols, ids);
  std::vector<int> out;
  for (const TokenId id : ids) out.push_back(to_int(id));
  return out;
}

/// A vocabulary of the letters given, with ids from 0, then the products of random merges.
struct Random {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;

  Random(std::string_view letters, int merge_count, unsigned seed, bool shuffled = true) {
    std::mt19937 random(seed);
    std::vector<std::string> tokens;
    for (const char c : letters) tokens.emplace_back(spell_byte(static_cast<unsigned char>(c)));
    for (size_t i = 0; i < tokens.size(); ++i) vocabulary.add(static_cast<int32_t>(i), tokens[i]);
    std::set<std::pair<std::string, std::string>> seen;
    for (int i = 0; i < merge_count; ++i) {
      const auto pair = std::pair(tokens[random() % tokens.size()], tokens[random() % tokens.size()]);
      if (!seen.insert(pair).second) continue;
      merges.push_back(pair);
      const std::string product = pair.first + pair.second;
      if (vocabulary.add(static_cast<int32_t>(tokens.size()), product)) tokens.push_back(product);
    }
    // A part may be the product of a later merge: so it is in the tables of Qwen3.5.
    if (shuffled) std::shuffle(merges.begin(), merges.end(), random);
  }
};

/// The rule itself: the adjacent pair of lowest rank, leftmost first, until none is left.
std::vector<int> plain_rule(const Random& tables, std::string_view piece) {
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.emplace_back(spell_byte(static_cast<unsigned char>(c)));
  for (;;) {
    size_t best = 0, best_rank = SIZE_MAX;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = std::find(tables.merges.begin(), tables.merges.end(), std::pair(symbols[i], symbols[i + 1]));
      const auto rank = static_cast<size_t>(found - tables.merges.begin());
      if (found != tables.merges.end() && rank < best_rank) best = i, best_rank = rank;
    }
    if (best_rank == SIZE_MAX) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  std::vector<int> ids;
  for (const std::string& symbol : symbols) ids.push_back(tables.vocabulary.find(symbol));
  return ids;
}

TEST(ByteBpe, ShortAndLongPiecesFollowTheRule) {
  std::mt19937 random(1);
  for (unsigned seed = 0; seed < 60; ++seed) {
    const std::string letters = seed % 3 == 0 ? "a" : seed % 3 == 1 ? "ab" : "abcd";
    Random tables(letters, 3 + static_cast<int>(seed % 20), seed);
    ByteBpe model(tables.vocabulary, {});
    for (const auto& [left, right] : tables.merges) ASSERT_EQ(model.add_merge(left, right), MergeFault::kNone);
    for (const size_t length :
         {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{48}, size_t{49}, size_t{50}, size_t{200}}) {
      std::string piece;
      for (size_t i = 0; i < length; ++i) piece += letters[random() % letters.size()];
      ASSERT_EQ(encode(model, piece), plain_rule(tables, piece)) << "seed " << seed << " '" << piece << "'";
    }
  }
}

// Characters of several bytes are taken whole only where that changes nothing: merges of this test join any bytes,
// parts of neighbouring characters among them.
TEST(ByteBpe, WholeCharactersGiveWhatTheirBytesGive) {
  const std::vector<std::string> characters = {"\u4e2d", "\u4e00", "\u90e8", "\u00e4", "a", "\U00024b62"};
  std::string bytes;
  for (const std::string& character : characters) {
    for (const char c : character) {
      if (bytes.find(c) == std::string::npos) bytes += c;
    }
  }
  std::mt19937 random(5);
  for (unsigned seed = 0; seed < 120; ++seed) {
    Random tables(bytes, 4 + static_cast<int>(seed), seed, seed % 2 == 0);
    ByteBpe model(tables.vocabulary, {});
    for (const std::string& character : characters) {  // every character can be made, late or early
      for (size_t i = 1; i < character.size(); ++i) {
        if (random() % 3 == 0) break;
        const std::pair<std::string, std::string> pair(spell_bytes(character.substr(0, i)),
                                                       spell_bytes(character.substr(i, 1)));
        tables.vocabulary.add(static_cast<int32_t>(tables.vocabulary.size()), pair.first + pair.second);
        const auto place = random() % 2 == 0 ? tables.merges.begin() : tables.merges.end();
        if (std::find(tables.merges.begin(), tables.merges.end(), pair) == tables.merges.end())
          tables.merges.insert(place, pair);
      }
    }
    for (const auto& [left, right] : tables.merges) ASSERT_EQ(model.add_merge(left, right), MergeFault::kNone);
    model.finish();
    for (int text = 0; text < 40; ++text) {
      std::string piece;
      for (size_t i = 0; i < 1 + random() % 12; ++i) piece += characters[random() % characters.size()];
      ASSERT_EQ(encode(model, piece), plain_rule(tables, piece)) << "seed " << seed << " '" << piece << "'";
    }
  }
}

TEST(ByteBpe, BytesWithoutTokens) {
  Vocabulary vocabulary;
  vocabulary.add(0, "a");
  vocabulary.add(1, "b");
  vocabulary.add(2, "ab");
  vocabulary.add(3, "?");
  ByteBpe vanish(vocabulary, {});
  ASSERT_EQ(vanish.add_merge("a", "b"), MergeFault::kNone);
  EXPECT_THAT(encode(vanish, "aXb"), ElementsAre(2)) << "the neighbours of a lost byte meet";
  ByteBpe unknown(vocabulary, {.unknown = 3});
  EXPECT_THAT(encode(unknown, "aXXb"), ElementsAre(0, 3, 3, 1));
  ByteBpe fused(vocabulary, {.unknown = 3, .fuse_unknown = true});
  EXPECT_THAT(encode(fused, "XXaXb"), ElementsAre(3, 0, 3, 1));
  EXPECT_THAT(encode(fused, std::string(100, 'X')), ElementsAre(3));
}

TEST(ByteBpe, IgnoreMergesTakesWholeTokens) {
  Vocabulary vocabulary;
  const std::string spelled = spell_bytes(" a");  // the space is spelled U+0120
  vocabulary.add(0, "a");
  vocabulary.add(1, spell_byte(' '));
  vocabulary.add(2, spelled);
  vocabulary.add(3, spell_bytes(" a "), false);
  ByteBpe merged(vocabulary, {}), whole(vocabulary, {.ignore_merges = true});
  merged.finish();
  whole.finish();
  EXPECT_THAT(encode(merged, " a"), ElementsAre(1, 0));
  EXPECT_THAT(encode(whole, " a"), ElementsAre(2));
  EXPECT_THAT(encode(whole, " a "), ElementsAre(1, 0, 1)) << "an added token is not the model's";
}

TEST(ByteBpe, MergesOfMissingTokensAreNamed) {
  Vocabulary vocabulary;
  vocabulary.add(0, "a");
  vocabulary.add(1, "b");
  ByteBpe model(vocabulary, {});
  EXPECT_EQ(model.add_merge("q", "a"), MergeFault::kLeft);
  EXPECT_EQ(model.add_merge("a", "q"), MergeFault::kRight);
  EXPECT_EQ(model.add_merge("a", "b"), MergeFault::kProduct);
}

TEST(ByteBpe, ManyMergesAtOnceAreTheSame) {
  Random tables("abcd", 150, 3);
  ByteBpe one(tables.vocabulary, {}), many(tables.vocabulary, {});
  std::vector<std::pair<std::string_view, std::string_view>> merges(tables.merges.begin(), tables.merges.end());
  for (const auto& [left, right] : merges) ASSERT_EQ(one.add_merge(left, right), MergeFault::kNone);
  size_t done = 0;
  ASSERT_EQ(many.add_merges(merges, done), MergeFault::kNone);
  EXPECT_EQ(done, merges.size());
  EXPECT_EQ(encode(one, "abcdabcddcbaabdcacbd"), encode(many, "abcdabcddcbaabdcacbd"));
  merges[70].second = "nothing";
  ByteBpe broken(tables.vocabulary, {});
  EXPECT_EQ(broken.add_merges(merges, done), MergeFault::kRight);
  EXPECT_EQ(done, 70U);
}

TEST(CharacterBpe, ScoresDecideAndCharactersWithoutTokensMerge) {
  Vocabulary vocabulary;
  vocabulary.add(0, "<unk>", false);
  vocabulary.add(1, "a");
  vocabulary.add(2, "b");
  vocabulary.add(3, "ab");
  vocabulary.add(4, "ba");
  vocabulary.add(5, "xy");  // neither x nor y is a token
  const auto model = [&](float ab, float ba, bool fuse) {
    CharacterBpe out(vocabulary, {.byte_fallback = true, .unknown = 0, .fuse_unknown = fuse});
    out.add_scored({{1, 0}, {2, 0}, {3, ab}, {4, ba}, {5, -9}});
    out.finish();
    return out;
  };
  const auto ids = [](const CharacterBpe& bpe, std::string_view text) {
    std::vector<TokenId> out;
    std::vector<int32_t> symbols;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = bpe.part_end(text, begin);
      bpe.encode(text.substr(begin, end - begin), symbols, out);
      begin = end;
    }
    std::vector<int> numbers;
    for (const TokenId id : out) numbers.push_back(to_int(id));
    return numbers;
  };
  EXPECT_THAT(ids(model(-1, -2, true), "aba"), ElementsAre(3, 1));
  EXPECT_THAT(ids(model(-2, -1, true), "aba"), ElementsAre(1, 4));
  EXPECT_THAT(ids(model(-1, -1, true), "bab"), ElementsAre(4, 2)) << "of equal scores the leftmost";
  EXPECT_THAT(ids(model(-1, -2, true), "xyb"), ElementsAre(5, 2));
  EXPECT_THAT(ids(model(-1, -2, true), "zxzya"), ElementsAre(0, 1)) << "one unknown token for all of them";
  EXPECT_THAT(ids(model(-1, -2, false), "zxa"), ElementsAre(0, 0, 1));
  CharacterBpe cut(vocabulary, {});
  cut.add_scored({{1, 0}, {2, 0}, {3, -1}});
  cut.finish();
  EXPECT_EQ(cut.part_end("abba", 0), 2U) << "nothing joins b and b";
}

TEST(Vocabulary, RefusesIdsAndSpellingsThatAreTaken) {
  Vocabulary vocabulary;
  EXPECT_EQ(vocabulary.find("a"), -1);
  EXPECT_TRUE(vocabulary.add(5, "a"));
  EXPECT_FALSE(vocabulary.add(5, "b"));
  EXPECT_FALSE(vocabulary.add(6, "a"));
  EXPECT_EQ(vocabulary.size(), 6);
  EXPECT_FALSE(vocabulary.has(0));
  EXPECT_FALSE(vocabulary.has(-1));
  EXPECT_EQ(vocabulary.spelling(0), "");
  for (int32_t id = 10; id < 5000; ++id) ASSERT_TRUE(vocabulary.add(id, std::to_string(id)));
  EXPECT_EQ(vocabulary.find("4999"), 4999);
  EXPECT_EQ(vocabulary.find("a"), 5);
}

TEST(ByteLevel, RoundTrip) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  EXPECT_EQ(unspell_bytes(spell_bytes(all)), all);
  EXPECT_EQ(spell_bytes(" \n"), "\u0120\u010a");
  EXPECT_EQ(unspell_bytes("\u4e2d"), std::nullopt);
  EXPECT_EQ(unspell_bytes("a b"), std::nullopt) << "a space has another spelling";
}

}  // namespace
}  // namespace duet
