#include "terminal/markdown_inline.h"

namespace duet {
namespace {

constexpr std::string_view kEscapable = "*_`#~|<>";

bool is_space(char c) { return c == ' ' || c == '\t'; }
bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

size_t run_length(std::string_view text, size_t begin) {
  const size_t end = text.find_first_not_of(text[begin], begin);
  return (end == std::string_view::npos ? text.size() : end) - begin;
}

/// Where a run of exactly `length` times `mark` begins, from `begin` on; npos: none that is known to end. `ends`: no
/// text follows this one. Of emphasis a run is meant that may close it.
size_t find_run(std::string_view text, size_t begin, char mark, size_t length, bool ends, bool of_emphasis) {
  while ((begin = text.find(mark, begin)) != std::string_view::npos) {
    const size_t n = run_length(text, begin), after = begin + n;
    if (after == text.size() && !ends) return std::string_view::npos;
    const bool within_word = mark == '_' && after < text.size() && is_alnum(text[after]);
    const bool fits = n == length || (of_emphasis && n == 3);  // three close two and one
    if (fits && !(of_emphasis && (is_space(text[begin - 1]) || within_word))) return begin;
    begin = after;
  }
  return begin;
}

/// At most `bytes` of whole characters.
std::string_view head(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

}  // namespace

void MarkdownInline::begin(uint8_t style, bool marks) {
  base_ = style;
  marks_ = marks && flow_.colour();
  before_ = ' ';
  open_.clear();
}

uint8_t MarkdownInline::style() const {
  uint8_t style = base_;
  for (const Mark& mark : open_) {
    if (mark.length >= 2) style |= kBold;
    if (mark.length != 2) style |= kItalic;
  }
  return style;
}

size_t MarkdownInline::scan(std::string_view text, bool complete) {
  size_t used = 0;
  while (used < text.size()) {
    const std::string_view rest = text.substr(used);
    // The same bytes are looked at however the text came, so that the result is the same as well.
    const Look look{head(rest, kLookahead), complete || rest.size() > kLookahead, rest.size() <= kLookahead};
    const size_t step_bytes = step(look);
    if (step_bytes == 0) break;
    used += step_bytes;
    before_ = text[used - 1];
  }
  return used;
}

/// Bytes used, 0: more must be seen.
size_t MarkdownInline::step(const Look& look) {
  if (is_space(look.text.front())) return plain(look, 1);  // at once, so that the word before it is seen
  if (marks_) {
    switch (look.text.front()) {
      case '\\':
        return escape(look);
      case '`':
        return code(look);
      case '*':
      case '_':
        return emphasis(look);
      case '[':
        return link(look);
      default:
        break;
    }
  }
  const Grapheme grapheme = next_grapheme(look.text);
  if (grapheme.bytes == look.text.size() && !look.decided) return 0;
  flow_.put(look.text.substr(0, grapheme.bytes), grapheme.columns, style());
  return grapheme.bytes;
}

size_t MarkdownInline::plain(const Look& look, size_t bytes) {
  flow_.put_text(look.text.substr(0, bytes), style());
  return bytes;
}

size_t MarkdownInline::escape(const Look& look) {
  if (look.text.size() == 1) return look.decided ? plain(look, 1) : 0;
  if (kEscapable.find(look.text[1]) == std::string_view::npos) return plain(look, 1);  // \( of a formula, C:\ ...
  flow_.put(look.text.substr(1, 1), 1, style());
  return 2;
}

size_t MarkdownInline::code(const Look& look) {
  const size_t length = run_length(look.text, 0);
  if (length == look.text.size()) return look.decided ? plain(look, length) : 0;
  const size_t end = find_run(look.text, length, '`', length, look.decided, false);
  if (end == std::string_view::npos) return look.decided ? plain(look, length) : 0;
  std::string_view content = look.text.substr(length, end - length);
  if (content.size() > 2 && content.front() == ' ' && content.back() == ' ') {
    content = content.substr(1, content.size() - 2);  // as around a backquote
  }
  flow_.put_text(content, style() | kCode);
  return end + length;
}

/// Whether a run of * or _ ends what was opened; then that is over.
bool MarkdownInline::closes(std::string_view run, char after) {
  if (is_space(before_) || (run.front() == '_' && is_alnum(after))) return false;
  size_t left = run.size(), open = open_.size();
  while (left > 0 && open > 0 && open_[open - 1].mark == run.front() && open_[open - 1].length <= left) {
    left -= open_[--open].length;
  }
  if (left > 0) return false;
  open_.resize(open);
  return true;
}

size_t MarkdownInline::emphasis(const Look& look) {
  const char mark = look.text.front();
  const size_t length = run_length(look.text, 0);
  if (length == look.text.size() && !look.decided) return 0;
  const char after = length < look.text.size() ? look.text[length] : ' ';
  if (closes(look.text.substr(0, length), after)) return length;
  const bool within_word = is_alnum(before_) && (mark == '_' || length == 1);
  if (length > 3 || is_space(after) || within_word) return plain(look, length);
  const size_t end = find_run(look.text, length, mark, length, look.decided, true);
  if (end == std::string_view::npos) {
    if (!look.decided) return 0;
    // Nobody writes ** for itself: what is bold is long. A * without a partner nearby is one.
    if (length != 2 || look.whole_line) return plain(look, length);
  }
  open_.push_back({mark, length});
  return length;
}

size_t MarkdownInline::link(const Look& look) {
  const std::string_view text = look.text;
  const size_t close = text.find_first_of("[]", 1);
  if (close == std::string_view::npos || close + 1 == text.size()) return look.decided ? plain(look, 1) : 0;
  if (text[close] == '[' || text[close + 1] != '(') return plain(look, 1);
  int depth = 0;
  for (size_t i = close + 1; i < text.size(); ++i) {
    if (text[i] == '(') ++depth;
    if (text[i] == ')' && --depth == 0) {
      const std::string_view label = text.substr(1, close - 1), address = text.substr(close + 2, i - close - 2);
      flow_.put_text(label, style() | kUnderline);
      if (address != label) {
        flow_.put_text(" (", style());
        flow_.put_text(address, style() | kDim);
        flow_.put_text(")", style());
      }
      return i + 1;
    }
  }
  return look.decided ? plain(look, 1) : 0;
}

}  // namespace duet
