#include "terminal/table.h"

#include "terminal/width.h"
#include "tests/support.h"

namespace duet {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirCells) {
  EXPECT_EQ(table_text({{"name"}, {"n", true}}, {{"a", "7"}, {"東京", "12"}}, 80),
            "name   n\n"
            "a      7\n"
            "東京  12\n");
  EXPECT_EQ(table_text({{""}, {""}}, {{"a", "b"}, {"cc"}}, 80), "a   b\ncc\n");
}

TEST(Table, WhatIsTooWideIsWrappedInItsCell) {
  const std::string text =
      table_text({{"what"}, {"left"}, {"right"}},
                 {{"x", "one two three four five six seven", "eins zwei\n\n  drei vier fünf sechs sieben"}}, 40);
  EXPECT_EQ(text,
            "what  left              right\n"
            "x     one two three     eins zwei\n"
            "      four five six\n"
            "      seven               drei vier fünf\n"
            "                          sechs sieben\n");
  EXPECT_EQ(table_text({{"h"}}, {{"a"}}, 10, /*bold=*/true), "\x1b[1mh\x1b[0m\na\n");
}

TEST(Table, NeverNarrowerThanReadable) {
  const std::string text = table_text({{"a"}, {"b"}}, {{std::string(100, 'x'), "y"}}, 1);
  EXPECT_EQ(text.substr(0, 16), "a             b\n");
}

TEST(Table, Markdown) {
  EXPECT_EQ(table_markdown({{"a"}, {"n", true}}, {{"x|y\nz", "1"}}),
            "| a | n |\n"
            "| --- | ---: |\n"
            "| x\\|y<br>z | 1 |\n");
}

}  // namespace
}  // namespace duet
