#include "terminal/markdown_table.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "terminal/markdown_inline.h"
#include "terminal/text_flow.h"

namespace duet {
namespace {

constexpr int64_t kMinCell = 10, kGap = 3;  // " │ "
constexpr size_t kMaxCells = 64;

enum class Align { kLeft, kRight, kCentre };

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

/// What a cell like ":--:" says; std::nullopt: it is none of the line below the heads.
std::optional<Align> align_of(std::string_view cell) {
  const bool left = cell.starts_with(':'), right = cell.ends_with(':') && cell.size() > 1;
  if (left) cell.remove_prefix(1);
  if (right) cell.remove_suffix(1);
  if (cell.empty() || cell.find_first_not_of('-') != std::string_view::npos) return std::nullopt;
  return right ? (left ? Align::kCentre : Align::kRight) : Align::kLeft;
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

std::vector<std::string> render_table(const std::vector<std::string>& lines, int64_t columns, bool colour) {
  if (lines.size() < 2) return {};
  std::vector<std::vector<std::string>> rows;
  for (const std::string& line : lines) rows.push_back(cells_of(line));
  const size_t width = rows.front().size();
  std::vector<Align> aligns;
  for (const std::string& cell : rows[1]) {
    const auto align = align_of(cell);
    if (!align) return {};
    aligns.push_back(*align);
  }
  if (aligns.size() != width || width > kMaxCells) return {};
  rows.erase(rows.begin() + 1);
  std::vector<int64_t> wanted(width, 1);
  for (std::vector<std::string>& row : rows) {
    if (row.size() > width) return {};  // nothing may be lost
    row.resize(width);
    for (size_t i = 0; i < width; ++i) {
      for (const int64_t n : draw_cell(row[i], 100000, kPlainText, colour).columns) wanted[i] = std::max(wanted[i], n);
    }
  }
  const int64_t room = columns - kGap * static_cast<int64_t>(width - 1);
  if (room < kMinCell * static_cast<int64_t>(width)) return {};
  const std::vector<int64_t> given = shares(wanted, room);
  const auto dim = [&](std::string_view text) {
    return colour ? "\x1b[2m" + std::string(text) + "\x1b[0m" : std::string(text);
  };
  std::vector<std::string> out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::vector<Cell> cells;
    size_t height = 1;
    for (size_t i = 0; i < width; ++i) {
      cells.push_back(draw_cell(rows[r][i], given[i], r == 0 ? kBold : kPlainText, colour));
      height = std::max(height, cells.back().lines.size());
    }
    for (size_t l = 0; l < height; ++l) {
      std::string line;
      for (size_t i = 0; i < width; ++i) {
        const bool there = l < cells[i].lines.size();
        const int64_t free = std::max<int64_t>(given[i] - (there ? cells[i].columns[l] : 0), 0);
        const int64_t before = aligns[i] == Align::kRight ? free : aligns[i] == Align::kCentre ? free / 2 : 0;
        if (i > 0) line += dim(" │ ");
        line += std::string(static_cast<size_t>(before), ' ') + (there ? cells[i].lines[l] : "");
        if (i + 1 < width) line += std::string(static_cast<size_t>(free - before), ' ');
      }
      out.push_back(std::move(line));
    }
    if (r == 0) {
      std::string rule;
      for (size_t i = 0; i < width; ++i) {
        if (i > 0) rule += "─┼─";
        for (int64_t k = 0; k < given[i]; ++k) rule += "─";
      }
      out.push_back(dim(rule));
    }
  }
  return out;
}

}  // namespace duet
