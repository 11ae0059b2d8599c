#include "terminal/table.h"

#include <algorithm>
#include <cstdint>

#include "terminal/text_flow.h"
#include "terminal/width.h"

namespace duet {
namespace {

constexpr int64_t kGap = 2, kNarrowest = 12;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (true) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

int64_t natural_width(std::string_view text) {
  int64_t width = 0;
  for (const std::string_view line : lines_of(text)) width = std::max(width, display_width(line));
  return width;
}

std::vector<std::string> wrapped(std::string_view text, int64_t width) {
  std::vector<std::string> out;
  for (const std::string_view line : lines_of(text)) {
    if (display_width(line) <= width) {
      out.emplace_back(line);
      continue;
    }
    TextFlow flow(/*colour=*/false, [&] { return static_cast<int>(width) + 1; });  // a flow leaves the last one free
    const std::string_view indent = line.substr(0, std::min(line.find_first_not_of(' '), line.size()));
    flow.begin_line(indent, indent, false);
    flow.put_text(line.substr(indent.size()), kPlainText);
    flow.end_line();
    std::string text_lines = flow.take();
    if (text_lines.ends_with('\n')) text_lines.pop_back();
    for (const std::string_view part : lines_of(text_lines)) out.emplace_back(part);
  }
  return out;
}

/// Takes columns away from the widest until all fit.
std::vector<int64_t> fitted_widths(std::vector<int64_t> widths, int64_t room) {
  while (true) {
    int64_t sum = 0;
    for (const int64_t width : widths) sum += width;
    const auto widest = std::max_element(widths.begin(), widths.end());
    if (sum <= room || *widest <= kNarrowest) return widths;
    --*widest;
  }
}

class Lines {
 public:
  Lines(const std::vector<TableColumn>& columns, std::vector<int64_t> widths)
      : columns_(columns), widths_(std::move(widths)) {}

  void add(const std::vector<std::string>& cells, bool bold) {
    std::vector<std::vector<std::string>> parts;
    size_t height = 0;
    for (size_t i = 0; i < columns_.size(); ++i) {
      parts.push_back(wrapped(i < cells.size() ? std::string_view(cells[i]) : std::string_view(), widths_[i]));
      height = std::max(height, parts.back().size());
    }
    for (size_t line = 0; line < height; ++line) {
      std::string text;
      for (size_t i = 0; i < columns_.size(); ++i) {
        const std::string cell = line < parts[i].size() ? parts[i][line] : std::string();
        const auto space = static_cast<size_t>(std::max<int64_t>(0, widths_[i] - display_width(cell)));
        if (i > 0) text += std::string(kGap, ' ');
        text += columns_[i].right ? std::string(space, ' ') + cell : cell + std::string(space, ' ');
      }
      text.erase(text.find_last_not_of(' ') + 1);
      out_ += (bold && !text.empty() ? "\x1b[1m" + text + "\x1b[0m" : text) + "\n";
    }
  }
  std::string take() { return std::move(out_); }

 private:
  const std::vector<TableColumn>& columns_;
  std::vector<int64_t> widths_;
  std::string out_;
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? "<br>" : std::string(1, c);
  }
  return out;
}

}  // namespace

std::string table_text(const std::vector<TableColumn>& columns, const std::vector<std::vector<std::string>>& rows,
                       int width, bool bold) {
  std::vector<int64_t> widths;
  std::vector<std::string> head;
  for (size_t i = 0; i < columns.size(); ++i) {
    head.push_back(columns[i].header);
    int64_t widest = natural_width(columns[i].header);
    for (const auto& row : rows) {
      if (i < row.size()) widest = std::max(widest, natural_width(row[i]));
    }
    widths.push_back(std::max<int64_t>(1, widest));
  }
  const int64_t gaps = kGap * static_cast<int64_t>(columns.size() - 1);
  Lines lines(columns, fitted_widths(std::move(widths), width - gaps));
  if (std::any_of(head.begin(), head.end(), [](const std::string& text) { return !text.empty(); })) {
    lines.add(head, bold);
  }
  for (const auto& row : rows) lines.add(row, false);
  return lines.take();
}

std::string table_markdown(const std::vector<TableColumn>& columns, const std::vector<std::vector<std::string>>& rows) {
  std::string out = "|", rule = "|";
  for (const TableColumn& column : columns) {
    out += " " + escaped(column.header) + " |";
    rule += column.right ? " ---: |" : " --- |";
  }
  out += "\n" + rule + "\n";
  for (const auto& row : rows) {
    out += "|";
    for (size_t i = 0; i < columns.size(); ++i) out += " " + (i < row.size() ? escaped(row[i]) : "") + " |";
    out += "\n";
  }
  return out;
}

}  // namespace duet
