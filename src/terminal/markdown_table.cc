#include "terminal/markdown_table.h"

#include <algorithm>
#include <string_view>

#include "terminal/markdown_inline.h"
#include "terminal/text_flow.h"

namespace duet {
namespace {

constexpr int64_t kMinCell = 10, kGap = 3;  // " │ "
constexpr int64_t kUnwrapped = 100000;
constexpr size_t kMaxCells = 64;

constexpr size_t kHeld = 5;        // head, rule and three rows
constexpr int64_t kMaxSlack = 10;  // columns that a cell gets for what later rows may need

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

/// "| a | b \| c |" > "a", "b | c"
std::vector<std::string> cells_of(std::string_view line) {
  line = trimmed(line);
  line.remove_prefix(1);
  if (line.ends_with('|') && !line.ends_with("\\|")) line.remove_suffix(1);
  std::vector<std::string> cells(1);
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size() && line[i + 1] == '|') {
      cells.back() += line[++i];
    } else if (line[i] == '|') {
      cells.emplace_back();
    } else {
      cells.back() += line[i];
    }
  }
  for (std::string& cell : cells) cell = trimmed(cell);
  return cells;
}

/// Whether a cell belongs to the rule below the heads: "---", ":--:".
bool is_rule(std::string_view cell) {
  if (cell.starts_with(':')) cell.remove_prefix(1);
  if (cell.ends_with(':')) cell.remove_suffix(1);
  return !cell.empty() && cell.find_first_not_of('-') == std::string_view::npos;
}

struct Cell {
  std::vector<std::string> lines;
  std::vector<int64_t> columns;  // of each line
};

/// A cell wrapped at `room` columns.
Cell draw_cell(std::string_view text, int64_t room, uint8_t style, bool colour) {
  std::string plain;
  {  // the same flow without colour tells the widths
    TextFlow flow(colour, [room] { return static_cast<int>(room + 1); });
    MarkdownInline content(flow);
    flow.begin_line("", "", false);
    content.begin(style, true);
    content.scan(text, true);
    flow.end_line();
    plain = flow.take();
  }
  Cell cell;
  for (size_t begin = 0; begin < plain.size();) {
    const size_t end = plain.find('\n', begin);
    cell.lines.push_back(plain.substr(begin, end - begin));
    std::string visible;
    for (size_t i = begin; i < end; ++i) {
      if (plain[i] == '\x1b') {
        i = plain.find('m', i);
      } else {
        visible += plain[i];
      }
    }
    cell.columns.push_back(display_width(visible));
    begin = end + 1;
  }
  return cell;
}

/// Columns for each cell: what it wants, or a fair share of what there is.
std::vector<int64_t> shares(const std::vector<int64_t>& wanted, int64_t room) {
  std::vector<int64_t> given(wanted.size(), 0);
  std::vector<bool> settled(wanted.size(), false);
  size_t open = wanted.size();
  for (bool changed = true; changed && open > 0;) {
    changed = false;
    const int64_t share = room / static_cast<int64_t>(open);
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (settled[i] || wanted[i] > share) continue;
      given[i] = wanted[i];
      room -= wanted[i];
      settled[i] = changed = true;
      --open;
    }
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!settled[i]) {
      given[i] = room / static_cast<int64_t>(open);
      room -= given[i];
      --open;
    }
  }
  return given;
}

}  // namespace

void MarkdownTable::begin(int64_t columns, bool colour) {
  state_ = State::kHolding;
  columns_ = columns;
  colour_ = colour;
  held_.clear();
}

std::vector<MarkdownTable::Line> MarkdownTable::add(std::string row) {
  if (state_ == State::kRaw) return {{std::move(row), false}};
  if (state_ == State::kDrawing) {
    const Row cells = cells_of(row);
    if (cells.size() > widths_.size()) return {{std::move(row), false}};  // nothing may be lost
    std::vector<Line> out;
    draw(cells, false, out);
    return out;
  }
  held_.push_back(std::move(row));
  if (held_.size() == 2) {
    aligns_.clear();
    for (const std::string& cell : cells_of(held_[1])) {
      if (!is_rule(cell)) return as_written();
      const bool left = cell.starts_with(':'), right = cell.ends_with(':');
      aligns_.push_back(!right ? Align::kLeft : left ? Align::kCentre : Align::kRight);
    }
    const size_t cells = aligns_.size();
    const int64_t gaps = kGap * static_cast<int64_t>(cells - 1);
    if (cells_of(held_[0]).size() != cells || cells > kMaxCells ||
        columns_ - gaps < kMinCell * static_cast<int64_t>(cells))
      return as_written();
  }
  return held_.size() < kHeld ? std::vector<Line>{} : lay_out(false);
}

std::vector<MarkdownTable::Line> MarkdownTable::end() {
  std::vector<Line> out;
  if (state_ == State::kHolding) out = held_.size() < 2 ? as_written() : lay_out(true);
  state_ = State::kClosed;
  return out;
}

std::vector<MarkdownTable::Line> MarkdownTable::as_written() {
  std::vector<Line> out;
  out.reserve(held_.size());
  for (std::string& row : held_) out.push_back({std::move(row), false});
  held_.clear();
  state_ = State::kRaw;
  return out;
}

/// Decides on the widths and draws what was held back. `whole`: no row follows.
std::vector<MarkdownTable::Line> MarkdownTable::lay_out(bool whole) {
  const size_t cells = aligns_.size();
  const int64_t room = columns_ - kGap * static_cast<int64_t>(cells - 1);
  std::vector<Row> rows;
  std::vector<int64_t> wanted(cells, 1);
  for (size_t r = 0; r < held_.size(); ++r) {
    if (r == 1) continue;
    rows.push_back(cells_of(held_[r]));
    for (size_t i = 0; i < std::min(cells, rows.back().size()); ++i) {
      for (const int64_t n : draw_cell(rows.back()[i], kUnwrapped, kPlainText, colour_).columns)
        wanted[i] = std::max(wanted[i], n);
    }
  }
  widths_ = shares(wanted, room);
  if (!whole) {
    int64_t spare = room;
    for (const int64_t width : widths_) spare -= width;
    const int64_t slack = std::min(spare / static_cast<int64_t>(cells), kMaxSlack);
    for (int64_t& width : widths_) width += slack;
  }
  state_ = State::kDrawing;
  std::vector<Line> out;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].size() > cells) {
      out.push_back({held_[r == 0 ? 0 : r + 1], false});
    } else {
      draw(rows[r], r == 0, out);
    }
  }
  held_.clear();
  return out;
}

void MarkdownTable::draw(const Row& cells, bool head, std::vector<Line>& out) const {
  const auto dim = [&](std::string_view text) {
    return colour_ ? "\x1b[2m" + std::string(text) + "\x1b[0m" : std::string(text);
  };
  std::vector<Cell> drawn;
  size_t height = 1;
  for (size_t i = 0; i < widths_.size(); ++i) {
    drawn.push_back(draw_cell(i < cells.size() ? cells[i] : "", widths_[i], head ? kBold : kPlainText, colour_));
    height = std::max(height, drawn.back().lines.size());
  }
  for (size_t l = 0; l < height; ++l) {
    std::string line;
    for (size_t i = 0; i < widths_.size(); ++i) {
      const bool there = l < drawn[i].lines.size();
      const int64_t free = std::max<int64_t>(widths_[i] - (there ? drawn[i].columns[l] : 0), 0);
      const int64_t before = aligns_[i] == Align::kRight ? free : aligns_[i] == Align::kCentre ? free / 2 : 0;
      if (i > 0) line += dim(" │ ");
      line += std::string(static_cast<size_t>(before), ' ') + (there ? drawn[i].lines[l] : "");
      if (i + 1 < widths_.size()) line += std::string(static_cast<size_t>(free - before), ' ');
    }
    out.push_back({std::move(line), true});
  }
  if (!head) return;
  std::string rule;
  for (size_t i = 0; i < widths_.size(); ++i) {
    if (i > 0) rule += "─┼─";
    for (int64_t k = 0; k < widths_[i]; ++k) rule += "─";
  }
  out.push_back({dim(rule), true});
}

}  // namespace duet
