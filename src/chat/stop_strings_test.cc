#include "chat/stop_strings.h"

#include <random>

#include "tests/support.h"

namespace duet {
namespace {

struct Outcome {
  std::string text;
  std::string found;
  bool operator==(const Outcome&) const = default;
};

Outcome run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopStrings matcher(stops);
  Outcome outcome;
  for (const std::string& piece : pieces) outcome.text += matcher.push(piece);
  outcome.text += matcher.finish();
  if (matcher.found() != nullptr) outcome.found = *matcher.found();
  return outcome;
}

TEST(StopStrings, WithoutStopsTextPassesAtOnce) {
  StopStrings matcher;
  EXPECT_EQ(matcher.push("abc"), "abc");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopStrings, HoldsBackOnlyWhatMayBecomeAStop) {
  StopStrings matcher({"\nUser:"});
  EXPECT_EQ(matcher.push("Hello\n"), "Hello");
  EXPECT_EQ(matcher.push("Us"), "");
  EXPECT_EQ(matcher.push("e it"), "\nUse it");
  EXPECT_EQ(matcher.push("\nUser"), "");
  EXPECT_EQ(matcher.push(": x"), "");
  ASSERT_NE(matcher.found(), nullptr);
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopStrings, HeldTextIsGivenAtTheEnd) { EXPECT_EQ(run({"END"}, {"the EN"}), (Outcome{"the EN", ""})); }

TEST(StopStrings, TheFirstCompleteOneWins) {
  EXPECT_EQ(run({"abcd", "bc"}, {"xabcd"}), (Outcome{"xa", "bc"}));
  EXPECT_EQ(run({"c", "abc"}, {"xabcd"}), (Outcome{"x", "abc"}));
}

TEST(StopStrings, OverlappingPrefixesOfOneStop) {
  EXPECT_EQ(run({"aab"}, {"a", "a", "a", "b", "!"}), (Outcome{"a", "aab"}));
}

TEST(StopStrings, AnyCutOfTheTextGivesTheSame) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 14; ++i) text += static_cast<char>('a' + random() % 2);
    std::vector<std::string> stops;
    for (size_t s = 0; s < 1 + random() % 3; ++s) {
      std::string stop;
      for (size_t i = 0; i < 2 + random() % 4; ++i) stop += static_cast<char>('a' + random() % 2);
      stops.push_back(stop);
    }
    std::vector<std::string> pieces{""};
    for (const char c : text) {
      if (random() % 3 == 0) pieces.emplace_back();
      pieces.back() += c;
    }
    const Outcome whole = run(stops, {text});
    ASSERT_EQ(run(stops, pieces), whole) << text;
    // The plain meaning: the text up to the stop string whose end comes first.
    size_t end = std::string::npos, begin = 0;
    for (const std::string& stop : stops) {
      const size_t at = text.find(stop);
      if (at == std::string::npos) continue;
      if (at + stop.size() < end || (at + stop.size() == end && at < begin)) end = at + stop.size(), begin = at;
    }
    ASSERT_EQ(whole.text, end == std::string::npos ? text : text.substr(0, begin)) << text;
  }
}

TEST(StopStrings, CharactersStayWhole) {
  StopStrings matcher({"é!"});
  EXPECT_EQ(matcher.push("caf\xc3\xa9"), "caf");
  EXPECT_EQ(matcher.push("?"), "\xc3\xa9?");
}

TEST(StopStrings, RefusesWhatCannotBeMatched) {
  EXPECT_ERROR(StopStrings({""}), ErrorCode::kBadValue, "empty");
  EXPECT_ERROR(StopStrings({"\xff"}), ErrorCode::kBadValue, "UTF-8");
  EXPECT_ERROR(StopStrings({std::string(5000, 'x')}), ErrorCode::kBadValue, "5000");
  EXPECT_ERROR(StopStrings(std::vector<std::string>(65, "x")), ErrorCode::kBadValue, "65");
}

}  // namespace
}  // namespace duet
