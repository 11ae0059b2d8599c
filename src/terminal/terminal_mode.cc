#include "terminal/terminal_mode.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string_view>

#include "terminal/output.h"

namespace duet {
namespace {

// Read by handlers of signals: written only while g_active is 0, or before it becomes 1.
termios g_found{};
volatile std::sig_atomic_t g_active = 0;
volatile std::sig_atomic_t g_quiet = 0;  // how many want it
volatile std::sig_atomic_t g_escapes = 0;
struct sigaction g_old_stop {};

constexpr std::string_view kPasteOn = "\x1b[?2004h", kPasteOff = "\x1b[?2004l", kPlain = "\x1b[0m";

void send(std::string_view escape) noexcept {
  if (g_escapes == 0) return;
  const ssize_t n = ::write(STDOUT_FILENO, escape.data(), escape.size());
  static_cast<void>(n);  // a terminal that is gone needs nothing
}

void set_found() noexcept { ::tcsetattr(STDIN_FILENO, TCSADRAIN, &g_found); }

void set_quiet() noexcept {
  termios modes = g_found;
  modes.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON);
  modes.c_cc[VMIN] = 1;
  modes.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
}

/// Ctrl-Z: the shell gets its terminal as it was, and the chat stops here until it is continued.
extern "C" void on_stop(int) {
  const int saved_errno = errno;
  restore_terminal();
  struct sigaction action {
  }, ours{};
  action.sa_handler = SIG_DFL;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGTSTP, &action, &ours);
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);  // it stops here
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ::sigaction(SIGTSTP, &ours, nullptr);
  if (g_active != 0) {
    send(kPasteOn);
    if (g_quiet != 0) set_quiet();
  }
  errno = saved_errno;
}

}  // namespace

void restore_terminal() noexcept {
  if (g_active == 0) return;
  send(kPasteOff);
  send(kPlain);
  set_found();
}

TerminalMode::TerminalMode() {
  g_escapes = Output(STDOUT_FILENO).escapes() ? 1 : 0;
  if (::tcgetattr(STDIN_FILENO, &g_found) != 0) return;
  g_active = 1;
  send(kPasteOn);
  ::sigaction(SIGTSTP, nullptr, &g_old_stop);
  if (g_old_stop.sa_handler == SIG_IGN) return;  // a shell without job control
  struct sigaction action {};
  action.sa_handler = on_stop;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTSTP, &action, nullptr);
}

TerminalMode::~TerminalMode() {
  if (g_active == 0) return;
  restore_terminal();
  g_active = 0;
  ::sigaction(SIGTSTP, &g_old_stop, nullptr);
}

TerminalMode::Quiet::Quiet(bool wanted) : wanted_(wanted && g_active != 0) {
  if (!wanted_) return;
  g_quiet = g_quiet + 1;
  if (g_quiet == 1) set_quiet();
}

TerminalMode::Quiet::~Quiet() {
  if (!wanted_) return;
  g_quiet = g_quiet - 1;
  if (g_quiet == 0) set_found();
}

TerminalMode::Lent::Lent() { restore_terminal(); }

TerminalMode::Lent::~Lent() {
  if (g_active == 0) return;
  if (g_quiet != 0) {
    set_quiet();
  } else {
    set_found();
  }
  send(kPasteOn);
}

int terminal_columns() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? static_cast<int>(size.ws_col) : 80;
}

}  // namespace duet
