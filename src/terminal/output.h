#pragma once

#include <string>
#include <string_view>

namespace duet {

/// Standard output or standard error: every write is whole or an error, so that a full disk or a closed pipe is never
/// overlooked.
class Output {
 public:
  /// `fd` 1 or 2.
  explicit Output(int fd);
  bool is_terminal() const { return terminal_; }
  /// A terminal whose owner has not asked for plain text (NO_COLOR, TERM=dumb).
  bool colour() const { return colour_; }
  /// A terminal that knows escape sequences (not TERM=dumb), coloured or not.
  bool escapes() const { return escapes_; }
  /// Throws io_error.
  void write(std::string_view text) const;
  /// Text from a model or a file: on a terminal, control characters (but line ends and tabs) are shown as "^[" or
  /// "<9b>", so that they cannot command the terminal.
  void write_untrusted(std::string_view text) const;
  /// The text in a faint style, where colours are wanted.
  std::string dim(std::string_view text) const;
  std::string bold(std::string_view text) const;

 private:
  int fd_;
  bool terminal_;
  bool escapes_;
  bool colour_;
};

/// write_untrusted()'s form of a text.
std::string visible_controls(std::string_view text);

}  // namespace duet
