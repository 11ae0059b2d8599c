#include "terminal/markdown.h"

#include <algorithm>
#include <cstddef>

#include "base/utf8.h"
#include "terminal/output.h"

namespace duet {
namespace {

constexpr size_t kMaxIndent = 24;
constexpr int kMaxContainers = 16;  // quotes and lists around a line
constexpr std::string_view kBar = "│ ", kBullet = "• ";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t spaces_at(std::string_view text, size_t at) {
  const size_t end = text.find_first_not_of(" \t", at);
  return (end == std::string_view::npos ? text.size() : end) - at;
}

/// The column that white space leads to.
size_t indent_of(std::string_view spaces) {
  size_t columns = 0;
  for (const char c : spaces) columns += c == '\t' ? 4 - columns % 4 : 1;
  return std::min(columns, kMaxIndent);
}

/// How many times the character at `at` stands there.
size_t run_at(std::string_view text, size_t at) {
  const size_t end = text.find_first_not_of(text[at], at);
  return (end == std::string_view::npos ? text.size() : end) - at;
}

}  // namespace

MarkdownRenderer::MarkdownRenderer(MarkdownOptions options)
    : options_(std::move(options)), flow_(options_.colour, options_.width), inline_(flow_) {}

std::string MarkdownRenderer::feed(std::string_view text) {
  undecoded_ += text;
  std::string_view rest = undecoded_;
  std::string decoded;
  while (!rest.empty()) {
    const Utf8Step step = decode_utf8(rest);
    if (step.incomplete) break;
    append_utf8(decoded, step.code);
    rest.remove_prefix(static_cast<size_t>(step.length));
  }
  undecoded_.erase(0, undecoded_.size() - rest.size());
  text_ += visible_controls(decoded);
  run(false);
  return flow_.take();
}

std::string MarkdownRenderer::finish() {
  text_ += visible_controls(undecoded_);
  undecoded_.clear();
  run(true);
  end_table();
  if (flow_.line_open()) flow_.end_line();
  fence_ = {};
  in_line_ = in_code_ = any_ = blank_ = false;
  return flow_.take();
}

void MarkdownRenderer::run(bool last) {
  while (position_ < text_.size()) {
    const size_t end = text_.find('\n', position_);
    const bool ended = end != std::string::npos;
    const size_t before = position_;
    const bool was_in_line = in_line_;
    const Line line{std::string_view(text_).substr(position_, ended ? end - position_ : std::string::npos),
                    ended || last};
    if (!use(line)) break;
    if (ended && position_ == end) {
      if (flow_.line_open()) flow_.end_line();
      in_line_ = in_code_ = false;
      ++position_;
    } else if (position_ == before && in_line_ == was_in_line) {
      break;
    }
  }
  text_.erase(0, position_);
  position_ = 0;
}

/// Uses what it can of a line. False: more must come first.
bool MarkdownRenderer::use(const Line& line) {
  if (!in_line_) return begin_block(line);
  if (in_code_) {
    flow_.put_verbatim(line.text, options_.style | kCode);
    consume(line.text.size());
    return true;
  }
  consume(inline_.scan(line.text, line.complete));
  return line.complete;
}

void MarkdownRenderer::blank_line() {
  end_table();
  blank_ = any_;
}

/// The text of the line follows, behind prefix_.
void MarkdownRenderer::begin_text(uint8_t style) {
  end_table();
  open_line(style);
}

void MarkdownRenderer::open_line(uint8_t style) {
  if (blank_) {
    flow_.begin_line("", "", false);
    flow_.end_line();
  }
  blank_ = false;
  any_ = in_line_ = true;
  flow_.begin_line(prefix_, hanging_, true);
  inline_.begin(options_.style | style, options_.marks);
}

/// Finds out what kind of line begins, containers first. False: that cannot be told yet.
bool MarkdownRenderer::begin_block(const Line& line) {
  prefix_.clear();
  hanging_.clear();
  quotes_ = 0;
  if (!options_.marks) {
    if (line.text.empty() && line.complete) {
      blank_line();
      return true;
    }
    const size_t spaces = spaces_at(line.text, 0);
    if (spaces == line.text.size() && !line.complete) return false;
    prefix_ = hanging_ = std::string(indent_of(line.text.substr(0, spaces)), ' ');
    begin_text(kPlainText);
    consume(spaces);
    return true;
  }
  if (fence_.mark != 0) return fenced(line);
  size_t at = 0;
  for (int containers = 0;; ++containers) {
    const size_t spaces = spaces_at(line.text, at);
    const std::string indent(indent_of(line.text.substr(at, spaces)), ' ');
    const size_t begin = at + spaces;
    if (begin == line.text.size()) {
      if (!line.complete) return false;
      if (prefix_.empty()) {
        blank_line();
      } else {
        begin_text(kPlainText);  // a bar or a bullet without text
      }
      consume(line.text.size());
      return true;
    }
    prefix_ += indent;
    hanging_ += indent;
    const char c = line.text[begin];
    if (containers == kMaxContainers) return begin_leaf(line, begin);
    if (c == '>') {
      prefix_ += kBar;
      hanging_ += kBar;
      ++quotes_;
      at = begin + 1;
      if (at == line.text.size() && !line.complete) return false;
      if (at < line.text.size() && line.text[at] == ' ') ++at;
      continue;
    }
    std::string marker;
    size_t after = begin;  // behind the marker
    if (c == '-' || c == '*' || c == '+') {
      const size_t only = line.text.find_first_not_of(std::string{c, ' '}, begin);
      if (only == std::string_view::npos && !line.complete) return false;
      if (only == std::string_view::npos &&
          std::count(line.text.begin() + static_cast<std::ptrdiff_t>(begin), line.text.end(), c) >= 3)
        return begin_leaf(line, begin);  // a rule
      after = begin + 1;
      marker = kBullet;
    } else if (is_digit(c)) {
      after = std::min(line.text.find_first_not_of("0123456789", begin), line.text.size());
      if (after == line.text.size() && !line.complete && after - begin <= 9) return false;
      if (after - begin > 9 || after == line.text.size() || (line.text[after] != '.' && line.text[after] != ')'))
        return begin_leaf(line, begin);
      ++after;
      marker = std::string(line.text.substr(begin, after - begin)) + " ";
    } else {
      return begin_leaf(line, begin);
    }
    if (after == line.text.size() && !line.complete) return false;
    if (after < line.text.size() && line.text[after] != ' ' && line.text[after] != '\t') return begin_leaf(line, begin);
    prefix_ += marker;
    hanging_ += std::string(static_cast<size_t>(display_width(marker)), ' ');
    at = std::min(after + 1, line.text.size());
  }
}

/// What is within the containers.
bool MarkdownRenderer::begin_leaf(const Line& line, size_t at) {
  const char c = line.text[at];
  const size_t length = run_at(line.text, at);
  const bool run_ends = at + length < line.text.size() || line.complete;
  if (c == '|') return row(line);
  if (c == '#' && length <= 6) {
    if (!run_ends) return false;
    const size_t text = at + length;
    if (text == line.text.size() || line.text[text] == ' ') {
      const size_t spaces = spaces_at(line.text, text);
      if (text + spaces == line.text.size() && !line.complete) return false;
      begin_text(static_cast<uint8_t>(length == 1 ? kBold | kUnderline : kBold));
      if (!flow_.colour()) flow_.put_text(std::string(length, '#') + " ", kPlainText);
      consume(text + spaces);
      return true;
    }
  }
  if (c == '-' || c == '*' || c == '_') {
    const size_t only = line.text.find_first_not_of(std::string{c, ' '}, at);
    if (only == std::string_view::npos && !line.complete) return false;
    if (only == std::string_view::npos &&
        std::count(line.text.begin() + static_cast<std::ptrdiff_t>(at), line.text.end(), c) >= 3) {
      begin_text(kDim);
      const int64_t room = flow_.width() - 1 - flow_.column();
      std::string rule;
      for (int64_t i = 0; i < std::min<int64_t>(room, 40); ++i) rule += "─";
      flow_.put_verbatim(rule, options_.style | kDim);
      consume(line.text.size());
      return true;
    }
  }
  if (c == '`' || c == '~') {
    if (!run_ends && length < 3) return false;
    if (length >= 3) {
      if (!line.complete) return false;
      if (c == '~' || line.text.find('`', at + length) == std::string_view::npos) {
        const int64_t indent = display_width(hanging_) - quotes_ * display_width(kBar);
        fence_ = {c, length, static_cast<size_t>(indent), quotes_};
        begin_text(kDim);
        flow_.put_verbatim(line.text.substr(at), options_.style | kDim);
        consume(line.text.size());
        return true;
      }
    }
  }
  begin_text(kPlainText);
  consume(at);
  return true;
}

/// A line of a fenced block, or its end.
bool MarkdownRenderer::fenced(const Line& line) {
  size_t at = 0;
  for (; quotes_ < fence_.quotes; ++quotes_) {
    const size_t mark = at + spaces_at(line.text, at);
    if (mark == line.text.size() && !line.complete) return false;
    if (mark == line.text.size() || line.text[mark] != '>') {  // the quote is over, and the block with it
      fence_ = {};
      return begin_block(line);
    }
    at = mark + 1;
    if (at == line.text.size() && !line.complete) return false;
    if (at < line.text.size() && line.text[at] == ' ') ++at;
    prefix_ += kBar;
  }
  const size_t spaces = spaces_at(line.text, at), begin = at + spaces;
  const bool maybe_end = indent_of(line.text.substr(at, spaces)) <= fence_.indent + 3;
  if (begin == line.text.size() && !line.complete && maybe_end) return false;
  if (maybe_end && begin < line.text.size() && line.text[begin] == fence_.mark) {
    const size_t length = run_at(line.text, begin);
    const size_t rest = begin + length + spaces_at(line.text, begin + length);
    if (rest == line.text.size()) {
      if (!line.complete) return false;
      if (length >= fence_.length) {
        fence_ = {};
        begin_text(kDim);
        flow_.put_verbatim(line.text.substr(at), options_.style | kDim);
        consume(line.text.size());
        return true;
      }
    }
  }
  begin_text(kPlainText);
  in_code_ = true;
  consume(at);
  return true;
}

/// A line that begins with |.
bool MarkdownRenderer::row(const Line& line) {
  if (!line.complete) return false;
  if (table_.open() && prefix_ != table_prefix_) end_table();
  if (!table_.open()) {
    table_prefix_ = prefix_;
    table_.begin(flow_.width() - 1 - display_width(prefix_), flow_.colour());
  }
  std::string text(line.text.substr(line.text.find('|')));
  consume(line.text.size());
  show_rows(table_.add(std::move(text)));
  return true;
}

void MarkdownRenderer::end_table() {
  if (table_.open()) show_rows(table_.end());
}

void MarkdownRenderer::show_rows(const std::vector<MarkdownTable::Line>& lines) {
  const std::string prefix = prefix_, hanging = hanging_;
  prefix_ = table_prefix_;
  hanging_ = std::string(static_cast<size_t>(display_width(prefix_)), ' ');
  for (const MarkdownTable::Line& line : lines) {
    open_line(kPlainText);
    if (line.drawn) {
      flow_.put_verbatim(line.text, options_.style);
    } else {
      inline_.scan(line.text, true);
    }
    flow_.end_line();
  }
  in_line_ = false;
  prefix_ = prefix;
  hanging_ = hanging;
}

}  // namespace duet
