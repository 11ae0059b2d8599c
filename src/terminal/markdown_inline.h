#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terminal/text_flow.h"

namespace duet {

/// The text within a line of Markdown: **bold**, *italic*, `code`, [links](url) and \escapes. Where a mark could still
/// turn out to be plain text (a * without its partner) it looks at most kLookahead bytes ahead. Without colour every
/// mark is shown as it is written: nothing else would tell where it stood.
class MarkdownInline {
 public:
  static constexpr size_t kLookahead = 240;

  explicit MarkdownInline(TextFlow& flow) : flow_(flow) {}

  /// A line begins, with this style below the marks'; without `marks` everything is plain text.
  void begin(uint8_t style, bool marks);
  /// Puts what is certain of the line's text into the flow and returns how many bytes those were; `complete`: the line
  /// ends here, and all of it is used.
  size_t scan(std::string_view text, bool complete);

 private:
  struct Mark {
    char mark;
    size_t length;
  };
  struct Look {
    std::string_view text;  // from the mark on
    bool decided;           // all that may be looked at is there
    bool whole_line;        // and the line ends there
  };
  size_t plain(const Look& look, size_t bytes);
  size_t escape(const Look& look);
  size_t code(const Look& look);
  size_t emphasis(const Look& look);
  size_t link(const Look& look);
  size_t step(const Look& look);
  uint8_t style() const;
  bool closes(std::string_view run, char after);

  TextFlow& flow_;
  uint8_t base_ = kPlainText;
  bool marks_ = true;
  char before_ = ' ';  // the last byte that was used
  std::vector<Mark> open_;
};

}  // namespace duet
