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
  model.encode(piece, ids);
  std::vector<int> out;
  for (const TokenId id : ids) out.push_back(to_int(id));
  return out;
}

/// A vocabulary of the letters given, with ids from 0, then the products of random merges.
struct Random {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;

  Random(std::string_view letters, int merge_count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::string> tokens;
    for (const char c : letters) tokens.emplace_back(1, c);
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
    std::shuffle(merges.begin(), merges.end(), random);
  }
};

/// The rule itself: the adjacent pair of lowest rank, leftmost first, until none is left.
std::vector<int> plain_rule(const Random& tables, std::string_view piece) {
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.emplace_back(1, c);
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
    for (const auto& [left, right] : tables.merges) ASSERT_EQ(model.add_merge(left, right), ByteBpe::MergeFault::kNone);
    for (const size_t length :
         {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{48}, size_t{49}, size_t{50}, size_t{200}}) {
      std::string piece;
      for (size_t i = 0; i < length; ++i) piece += letters[random() % letters.size()];
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
  ASSERT_EQ(vanish.add_merge("a", "b"), ByteBpe::MergeFault::kNone);
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
  EXPECT_THAT(encode(ByteBpe(vocabulary, {}), " a"), ElementsAre(1, 0));
  EXPECT_THAT(encode(ByteBpe(vocabulary, {.ignore_merges = true}), " a"), ElementsAre(2));
}

TEST(ByteBpe, MergesOfMissingTokensAreNamed) {
  Vocabulary vocabulary;
  vocabulary.add(0, "a");
  vocabulary.add(1, "b");
  ByteBpe model(vocabulary, {});
  EXPECT_EQ(model.add_merge("q", "a"), ByteBpe::MergeFault::kLeft);
  EXPECT_EQ(model.add_merge("a", "q"), ByteBpe::MergeFault::kRight);
  EXPECT_EQ(model.add_merge("a", "b"), ByteBpe::MergeFault::kProduct);
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
