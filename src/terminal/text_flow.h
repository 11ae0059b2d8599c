#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "terminal/width.h"

namespace duet {

/// Bits of how text looks.
enum TextStyle : uint8_t { kPlainText = 0, kBold = 1, kDim = 2, kItalic = 4, kUnderline = 8, kCode = 16 };

/// Wraps words at the width of a terminal, with hanging indents. Words come grapheme by grapheme and go out when they
/// end, so that text is seen while it is still being made. Escape sequences are written only with `colour`; a style
/// never reaches over the end of a line.
class TextFlow {
 public:
  /// `width` gives the columns of a line and is asked at the beginning of each.
  TextFlow(bool colour, std::function<int()> width) : colour_(colour), width_(std::move(width)) {}

  bool colour() const { return colour_; }
  int width() const { return width_(); }

  /// Begins a line: `first` stands before its text, `hanging` before that of the lines that it is wrapped into; both
  /// are dim when `dim_prefix`.
  void begin_line(std::string_view first, std::string_view hanging, bool dim_prefix);
  /// The next character of the line; a space may become a line's end.
  void put(std::string_view grapheme, int columns, uint8_t style);
  /// put() for every grapheme of a text.
  void put_text(std::string_view text, uint8_t style);
  /// Text that is not wrapped.
  void put_verbatim(std::string_view text, uint8_t style);
  void end_line();

  bool line_open() const { return open_; }
  /// Columns of the current line so far; of the last one when none is open.
  int64_t column() const { return column_; }
  /// What is ready for the terminal, once.
  std::string take();

 private:
  struct Piece {
    std::string text;
    uint8_t style;
  };
  void add(std::vector<Piece>& pieces, std::string_view text, uint8_t style);
  void end_word();
  void write(std::string_view text, uint8_t style);
  void start(std::string_view prefix);
  bool breaks_before(std::string_view grapheme, int columns) const;

  bool colour_;
  std::function<int()> width_;
  std::string out_, hanging_;
  bool dim_prefix_ = false, open_ = false;
  uint8_t written_style_ = kPlainText;
  int64_t column_ = 0, begin_column_ = 0, limit_ = 80;
  std::vector<Piece> spaces_, word_;
  int64_t space_columns_ = 0, word_columns_ = 0;
  char32_t last_ = 0;  // the word's last character
  bool last_wide_ = false;
};

}  // namespace duet
