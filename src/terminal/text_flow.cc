#include "terminal/text_flow.h"

#include <algorithm>

#include "base/utf8.h"

namespace duet {
namespace {

constexpr int64_t kMinColumns = 10;  // of text; below that nothing is wrapped sensibly

// Where Chinese and Japanese are not cut: before closing marks and small kana, after opening ones.
constexpr std::u32string_view kNotFirst =
    U"、。，．：；？！‥…・ー々」』）】》〉〕］｝ぁぃぅぇぉっゃゅょァィゥェォッャュョ,.!?:;)]}%";
constexpr std::u32string_view kNotLast = U"「『（【《〈〔［｛([{";

/// Scripts that are written without spaces; Hangul has them.
bool breaks_anywhere(char32_t code) {
  return (code >= 0x2e80 && code < 0xac00) || (code >= 0xf900 && code < 0xfb00) || (code >= 0xff00 && code < 0xffe0) ||
         (code >= 0x20000 && code < 0x40000);
}

}  // namespace

std::string TextFlow::take() {
  std::string out = std::move(out_);
  out_.clear();
  return out;
}

void TextFlow::write(std::string_view text, uint8_t style) {
  if (text.empty()) return;
  if (colour_ && style != written_style_) {
    if (written_style_ != kPlainText) out_ += "\x1b[0m";
    std::string codes;
    for (const auto& [bit, code] : {std::pair{kBold, "1"}, std::pair{kDim, "2"}, std::pair{kItalic, "3"},
                                    std::pair{kUnderline, "4"}, std::pair{kCode, "36"}}) {
      if ((style & bit) != 0) codes += (codes.empty() ? "" : ";") + std::string(code);
    }
    if (!codes.empty()) out_ += "\x1b[" + codes + "m";
    written_style_ = style;
  }
  out_ += text;
}

void TextFlow::start(std::string_view prefix) {
  limit_ = std::max<int64_t>(width_() - 1, 1);  // the last column stays free: some characters are wider than announced
  write(prefix, dim_prefix_ ? kDim : kPlainText);
  column_ = begin_column_ = display_width(prefix);
  limit_ = std::max(limit_, begin_column_ + kMinColumns);
}

void TextFlow::begin_line(std::string_view first, std::string_view hanging, bool dim_prefix) {
  if (open_) end_line();
  open_ = true;
  hanging_ = hanging;
  dim_prefix_ = dim_prefix;
  start(first);
}

void TextFlow::add(std::vector<Piece>& pieces, std::string_view text, uint8_t style) {
  if (pieces.empty() || pieces.back().style != style) pieces.push_back({{}, style});
  pieces.back().text += text;
}

bool TextFlow::breaks_before(std::string_view grapheme, int columns) const {
  if (word_.empty()) return false;
  const char32_t next = decode_utf8(grapheme).code;
  if (kNotFirst.find(next) != std::u32string_view::npos || kNotLast.find(last_) != std::u32string_view::npos)
    return false;
  return (columns == 2 && breaks_anywhere(next)) || (last_wide_ && breaks_anywhere(last_));
}

void TextFlow::put(std::string_view grapheme, int columns, uint8_t style) {
  if (grapheme == " " || grapheme == "\t") {
    end_word();
    add(spaces_, " ", style);
    ++space_columns_;
    return;
  }
  const bool too_long = !word_.empty() && begin_column_ + word_columns_ + columns > limit_;
  if (too_long || breaks_before(grapheme, columns)) end_word();
  add(word_, grapheme, style);
  word_columns_ += columns;
  last_ = decode_utf8(grapheme).code;
  last_wide_ = columns == 2;
}

void TextFlow::put_text(std::string_view text, uint8_t style) {
  while (!text.empty()) {
    const Grapheme grapheme = next_grapheme(text);
    put(text.substr(0, grapheme.bytes), grapheme.columns, style);
    text.remove_prefix(grapheme.bytes);
  }
}

void TextFlow::put_verbatim(std::string_view text, uint8_t style) {
  end_word();
  write(text, style);
  column_ += display_width(text);
}

/// Writes the word, on the next line where it does not fit on this one.
void TextFlow::end_word() {
  if (word_.empty()) return;
  if (column_ > begin_column_ && column_ + space_columns_ + word_columns_ > limit_) {
    write("\n", kPlainText);
    start(hanging_);
  } else {
    for (const Piece& piece : spaces_) write(piece.text, piece.style);
    column_ += space_columns_;
  }
  for (const Piece& piece : word_) write(piece.text, piece.style);
  column_ += word_columns_;
  spaces_.clear();
  word_.clear();
  space_columns_ = word_columns_ = 0;
}

void TextFlow::end_line() {
  end_word();
  spaces_.clear();
  space_columns_ = 0;
  write("\n", kPlainText);
  open_ = false;
}

}  // namespace duet
