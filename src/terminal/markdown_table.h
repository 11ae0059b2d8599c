#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace duet {

/// A Markdown table while it is being written, drawn with aligned columns. The first rows are held back, because they
/// say how wide the columns are; later ones come as soon as they are whole, wrapped where they are wider.
class MarkdownTable {
 public:
  struct Line {
    std::string text;
    bool drawn;  // false: it is the row as it was written
  };

  /// A table begins, to be drawn in at most `columns` columns.
  void begin(int64_t columns, bool colour);
  /// The next row, with its leading |. Returns what can be shown now. What is no table comes back as it is, and so does
  /// a row with more cells than the table.
  std::vector<Line> add(std::string row);
  /// No row follows: what was still held back.
  std::vector<Line> end();
  bool open() const { return state_ != State::kClosed; }

 private:
  enum class State { kClosed, kHolding, kDrawing, kRaw };
  enum class Align { kLeft, kRight, kCentre };
  using Row = std::vector<std::string>;
  std::vector<Line> lay_out(bool whole);
  void draw(const Row& cells, bool head, std::vector<Line>& out) const;
  std::vector<Line> as_written();

  State state_ = State::kClosed;
  int64_t columns_ = 0;
  bool colour_ = false;
  std::vector<std::string> held_;
  std::vector<Align> aligns_;
  std::vector<int64_t> widths_;
};

}  // namespace duet
