#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace duet {

/// Bytes of a terminal to the characters that a line editor gets. Text between the marks of a bracketed paste
/// (ESC [ 200 ~ ... ESC [ 201 ~) is data: its control characters are preceded by Ctrl-V, the editor's quote, and its
/// line ends become \n, so that a pasted text of many lines is one entry and no key is pressed by it.
class KeyInput {
 public:
  static constexpr char32_t kQuote = 0x16;  // Ctrl-V

  void feed(std::string_view bytes) { bytes_ += bytes; }
  /// The next character, or nothing when more bytes are needed. A lone ESC at the end of what was fed is an ESC key.
  std::optional<char32_t> next();
  /// Whether the terminal is asked to mark pasted text; does so on standard output when it is a terminal.
  void set_pasting(bool on) const;

 private:
  bool take(std::string_view mark);

  std::string bytes_;
  std::deque<char32_t> ready_;
  bool in_paste_ = false;
  bool after_return_ = false;  // a \n that follows is part of the same line end
};

}  // namespace duet
