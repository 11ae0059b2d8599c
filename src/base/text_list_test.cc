#include "base/text_list.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/os_memory.h"
#include "base/utf8.h"

namespace duet {
namespace {

TEST(TextList, GivesBackWhatWasAppended) {
  TextList list{"a", "", "bc"};
  list.reserve(10, 100);
  list.append("\u00e9");
  ASSERT_EQ(list.size(), 4U);
  EXPECT_EQ(list[0], "a");
  EXPECT_EQ(list[1], "");
  EXPECT_EQ(list[2], "bc");
  EXPECT_EQ(list[3], "\u00e9");
  EXPECT_EQ(list.bytes(), "abc\u00e9");
  EXPECT_EQ(list.end_of(2), 3U);
  std::string joined;
  for (const std::string_view text : list) joined.append(text).append("|");
  EXPECT_EQ(joined, "a||bc|\u00e9|");
  EXPECT_EQ(list, TextList(std::vector<std::string>{"a", "", "bc", "\u00e9"}));
  EXPECT_NE(list, (TextList{"ab", "", "c", "\u00e9"})) << "equal bytes, other borders";
  EXPECT_TRUE(TextList().empty());
}

TEST(TextList, GrowsBeyondAHugePage) {
  TextList list;
  const std::string text(1000, 'x');
  for (int i = 0; i < 5000; ++i) list.append(text + std::to_string(i));
  EXPECT_EQ(list[0], text + "0");
  EXPECT_EQ(list[4999], text + "4999");
}

TEST(HugePages, AreAlignedZeroAndWritable) {
  for (const size_t bytes : {size_t{1}, size_t{2} << 20, (size_t{4} << 20) + 1}) {
    auto* const begin = static_cast<char*>(map_huge_pages(bytes));
    ASSERT_NE(begin, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(begin) % (size_t{2} << 20), 0U);
    EXPECT_EQ(begin[0], 0);
    EXPECT_EQ(begin[bytes - 1], 0);
    begin[bytes - 1] = 1;
    unmap_huge_pages(begin, bytes);
  }
  EXPECT_EQ(map_huge_pages(SIZE_MAX / 4), nullptr);
}

bool is_valid_by_steps(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (!step.valid) return false;
    text.remove_prefix(static_cast<size_t>(step.length));
  }
  return true;
}

TEST(Utf8, ValidityIsWhatDecodingSays) {
  std::mt19937 random(7);
  const std::vector<std::string> parts = {"a",      "bcdefghi", "\u0120", "\u00e9",     "\u07ff", "\u0800",
                                          "\u4e2d", "\ud7ff",   "\ue000", "\U0001f600", "\u0080"};
  const std::vector<std::string> broken = {
      "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe4\xb8", "\xed\xa0\x80", "\xff", "\xe0\x80\x80", "\xf4\x90\x80\x80"};
  int valid = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const size_t count = random() % 60, kinds = random() % 2 == 0 ? 4 : parts.size();
    for (size_t i = 0; i < count; ++i) text += parts[random() % kinds];
    if (round % 2 == 1 && !text.empty()) {
      const std::string& part = broken[random() % broken.size()];
      text.insert(random() % (text.size() + 1), part);
    }
    ASSERT_EQ(is_valid_utf8(text), is_valid_by_steps(text)) << "round " << round;
    valid += is_valid_utf8(text) ? 1 : 0;
  }
  EXPECT_GT(valid, 9000);
  EXPECT_LT(valid, 11000);
  for (int first = 0x80; first < 0x100; ++first) {
    for (int second = 0; second < 0x100; ++second) {  // at every place of a block of eight
      for (size_t at = 0; at < 9; ++at) {
        std::string text(20, 'x');
        text[at] = static_cast<char>(first);
        text[at + 1] = static_cast<char>(second);
        ASSERT_EQ(is_valid_utf8(text), is_valid_by_steps(text)) << first << " " << second << " at " << at;
      }
    }
  }
}

}  // namespace
}  // namespace duet
