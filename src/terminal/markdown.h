#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "terminal/markdown_inline.h"
#include "terminal/markdown_table.h"
#include "terminal/text_flow.h"

namespace duet {

struct MarkdownOptions {
  bool colour = false;  // escape sequences may be written
  bool marks = true;    // false: the text is wrapped and nothing else
  uint8_t style = kPlainText;
  std::function<int()> width = [] { return 80; };  // columns, asked for each line
};

/// Light Markdown for a terminal, while it is being written: headings, emphasis, code, fenced blocks, lists, quotes,
/// rules, links and tables; words wrapped with hanging indents. What comes out depends on the text alone, not on the
/// pieces in which it came. Text is untrusted: control characters are shown (visible_controls).
class MarkdownRenderer {
 public:
  explicit MarkdownRenderer(MarkdownOptions options);

  /// What can be shown now that `text` has come; bytes of an unfinished character wait.
  std::string feed(std::string_view text);
  /// The rest, ended by a line end where there was any text. Then the next text may begin.
  std::string finish();

 private:
  struct Line {
    std::string_view text;  // without its end
    bool complete;
  };
  struct Fence {
    char mark = 0;  // 0: none is open
    size_t length = 0, indent = 0;
    int quotes = 0;
  };
  void run(bool last);
  bool use(const Line& line);
  bool begin_block(const Line& line);
  bool begin_leaf(const Line& line, size_t at);
  bool fenced(const Line& line);
  bool row(const Line& line);
  void end_table();
  void show_rows(const std::vector<MarkdownTable::Line>& lines);
  void begin_text(uint8_t style);
  void open_line(uint8_t style);
  void blank_line();
  void consume(size_t bytes) { position_ += bytes; }

  MarkdownOptions options_;
  TextFlow flow_;
  MarkdownInline inline_;
  std::string undecoded_;  // the beginning of a character
  std::string text_;       // decoded, from position_ on not used yet
  size_t position_ = 0;
  std::string prefix_, hanging_;  // of the current line
  int quotes_ = 0;
  bool in_line_ = false;  // the kind of the line is known and its text follows
  bool in_code_ = false;  // ... and it is code
  bool any_ = false, blank_ = false;
  Fence fence_;
  MarkdownTable table_;
  std::string table_prefix_;
};

}  // namespace duet
