#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace duet {

/// What a reader sees as one character, and the columns of a terminal that it takes: a letter with its marks, a flag, a
/// family joined by U+200D.
struct Grapheme {
  size_t bytes = 0;  // 0: there is no text
  int columns = 0;
};

/// The first grapheme of a text. Wide and fullwidth characters and emoji take 2 columns, marks and format characters
/// none, control characters none (visible_controls() makes them visible first), ambiguous ones 1. A narrow emoji takes
/// 2 before U+FE0F. A spacing mark (Mc) takes a column of its own, as glibc, libedit and tmux have it.
Grapheme next_grapheme(std::string_view text);

/// Columns of a text of one line.
int64_t display_width(std::string_view text);

/// The longest beginning of a text, in whole graphemes, that has at most `columns` columns.
std::string_view fitting(std::string_view text, int64_t columns);

/// The text cut to at most `columns` columns, with … for what was left out.
std::string shortened(std::string_view text, int64_t columns);

}  // namespace duet
