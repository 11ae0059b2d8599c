#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace duet {

/// Bytes of a terminal to the characters that a line editor gets. Text between the marks of a bracketed paste
/// (ESC [ 200 ~ ... ESC [ 201 ~) is data: its control characters are preceded by Ctrl-V, the editor's quote, and its
/// line ends become the key that begins a new line, so that a pasted text of many lines is one entry and no key is
/// pressed by it. Of a large paste the editor gets a stand-in, "[pasted #1: 100 kB, 1200 lines]".
class KeyInput {
 public:
  static constexpr char32_t kQuote = 0x16;    // Ctrl-V
  static constexpr char32_t kNewLine = 0x1e;  // Ctrl-^: libedit draws a quoted \n wrongly
  // What is larger is slow to edit as it is, and fills the screen.
  static constexpr size_t kLargeBytes = 1000, kLargeLines = 10;

  void feed(std::string_view bytes) { bytes_ += bytes; }
  /// The next character, or nothing when more bytes are needed. A lone ESC at the end of what was fed is an ESC key.
  std::optional<char32_t> next();
  /// As if `text` had been pasted, but for what pasted() says.
  void insert(std::string_view text);

  /// A paste has begun and not ended.
  bool in_paste() const { return in_paste_; }
  /// The paste will not go on: its end was lost.
  void end_paste();
  /// What is left of the paste that has begun is to be dropped, and all keys that wait.
  void interrupt();

  /// Stand-ins replaced by what they stand for.
  std::string expand(std::string_view line) const;
  bool has_stand_in(std::string_view line) const;
  /// Texts of many lines that were pasted into this line: those of its stand-ins, and small ones since the last call.
  std::vector<std::string> take_pasted(std::string_view line);
  /// The next take_pasted() gives these as well.
  void add_pasted(std::vector<std::string> pasted) { pasted_ = std::move(pasted); }

 private:
  bool take(std::string_view mark);
  bool take_paste();

  std::string bytes_;
  std::deque<char32_t> ready_;
  bool in_paste_ = false;
  bool dropping_ = false;
  std::string paste_;                                           // what has come of it
  std::vector<std::pair<std::string, std::string>> stand_ins_;  // and their texts
  std::vector<std::string> pasted_;
};

}  // namespace duet
