#pragma once

namespace duet {

/// The terminal of standard input and output during a chat: pasted text is marked (bracketed paste), and everything is
/// as it was found when the chat ends, is stopped (Ctrl-Z) or is killed by a second Ctrl-C; after Ctrl-Z it is as
/// before again. Terminals belong to the process: one at a time.
class TerminalMode {
 public:
  TerminalMode();
  ~TerminalMode();
  TerminalMode(const TerminalMode&) = delete;
  TerminalMode& operator=(const TerminalMode&) = delete;

  /// For as long as this lives, keys are kept for the next prompt, not shown among what is being written. Ctrl-C and
  /// Ctrl-Z stay what they are.
  class Quiet {
   public:
    explicit Quiet(bool wanted);
    ~Quiet();
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;

   private:
    bool wanted_;
  };

  /// For as long as this lives, another program has the terminal as it was found.
  class Lent {
   public:
    Lent();
    ~Lent();
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
  };
};

/// Undoes what a TerminalMode does. For signal handlers.
void restore_terminal() noexcept;

/// Columns of the terminal of standard output now, 80 where it does not say.
int terminal_columns();

}  // namespace duet
