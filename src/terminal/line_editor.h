#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace duet {

/// What a person did at a prompt.
struct ReadLine {
  enum class Kind {
    kLine,         // `text`, without its end of line; pasted line ends stay inside it
    kEnd,          // Ctrl-D on an empty line, or the terminal is gone
    kInterrupted,  // Ctrl-C; `text` is what had been typed
  };
  Kind kind = Kind::kEnd;
  std::string text;
};

/// Where a conversation's lines come from.
class LineSource {
 public:
  virtual ~LineSource() = default;
  /// Waits for a line. Throws io_error.
  virtual ReadLine read(std::string_view prompt) = 0;
};

/// Reads lines from the terminal with editing and history (Emacs keys, arrows). Takes the signal of Ctrl-C itself while
/// it reads (terminal/interrupt.h must watch). One at a time in a process.
class LineEditor final : public LineSource {
 public:
  /// `history_file` empty: history lives as long as the editor. An unreadable or foreign file is left alone and counts
  /// as empty.
  explicit LineEditor(std::filesystem::path history_file);
  ~LineEditor() override;
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// `prompt` may hold colours (ESC [ ... m).
  ReadLine read(std::string_view prompt) override;
  /// Puts an entry into the history and saves it. Returns false when the file could not be written.
  bool remember(const std::string& entry);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace duet
