#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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
  std::string typed;                // as it stands on the screen, with stand-ins for large pastes
  std::vector<std::string> pasted;  // pieces of `text` of many lines that were pasted
};

/// What the text before the cursor may become: each candidate replaces it from byte `begin` on.
struct Completions {
  size_t begin = 0;
  std::vector<std::string> candidates;
};
using Completer = std::function<Completions(std::string_view)>;

/// Where a conversation's lines come from.
class LineSource {
 public:
  virtual ~LineSource() = default;
  /// Waits for a line. Throws io_error.
  virtual ReadLine read(std::string_view prompt) = 0;
};

/// Reads lines from the terminal with editing and history (Emacs keys, arrows; Alt-Enter begins a new line). Takes the
/// signal of Ctrl-C itself while it reads (terminal/interrupt.h must watch). One at a time in a process.
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
  /// The next read() begins with this text in the line, of which `pasted` was pasted.
  void prefill(std::string text, std::vector<std::string> pasted = {});
  /// What the Tab key asks.
  void set_completer(Completer completer);
  /// Puts an entry into the history and saves it, but for one with the stand-in of a large paste, which means something
  /// only here. Returns false when the file could not be written.
  bool remember(const std::string& entry);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace duet
