#include "terminal/external_editor.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "terminal/interrupt.h"
#include "terminal/terminal_mode.h"

extern char** environ;

namespace duet {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{64} << 20;

/// A file of our own, that others cannot read, until it goes out of scope.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view text)
      : name_((std::filesystem::temp_directory_path() / "duet-message-XXXXXX.md").string()) {
    const int fd = ::mkstemps(name_.data(), 3);
    if (fd < 0) fail(ErrorCode::kIoError, "{}: cannot be made: {}", name_, std::generic_category().message(errno));
    ssize_t n = 0;
    for (; !text.empty() && (n = ::write(fd, text.data(), text.size())) > 0;)
      text.remove_prefix(static_cast<size_t>(n));
    ::close(fd);
    if (!text.empty()) {
      ::unlink(name_.c_str());
      fail(ErrorCode::kIoError, "{}: cannot be written", name_);
    }
  }
  ~TemporaryFile() { ::unlink(name_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& name() const { return name_; }

 private:
  std::string name_;
};

/// Ctrl-C is the editor's meanwhile.
class IgnoredInterrupts {
 public:
  IgnoredInterrupts() {
    struct sigaction action {};
    ::sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGINT, &action, &before_);
  }
  ~IgnoredInterrupts() { ::sigaction(SIGINT, &before_, nullptr); }
  IgnoredInterrupts(const IgnoredInterrupts&) = delete;
  IgnoredInterrupts& operator=(const IgnoredInterrupts&) = delete;

 private:
  struct sigaction before_ {};
};

int run_in_shell(const std::string& command, const std::string& file) {
  std::string script = command + " \"$1\"", name = file, shell = "sh", option = "-c", zero = "duet";
  std::vector<char*> arguments = {shell.data(), option.data(), script.data(), zero.data(), name.data(), nullptr};
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t defaults, none;
  ::sigemptyset(&none);
  ::sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTSTP, SIGPIPE}) ::sigaddset(&defaults, signal);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, "/bin/sh", nullptr, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) fail(ErrorCode::kIoError, "the editor cannot be started: {}", std::generic_category().message(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    if (termination_requested()) ::kill(child, SIGTERM);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string editor_command() {
  for (const char* name : {"VISUAL", "EDITOR"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return {};
}

std::string edit_in_editor(const std::string& command, std::string_view text) {
  const TemporaryFile file(text);
  int status = 0;
  {
    const IgnoredInterrupts ignored;
    const TerminalMode::Lent lent;
    status = run_in_shell(command, file.name());
  }
  if (status != 0) fail(ErrorCode::kIoError, "the editor ({}) ended with status {}", printable(command), status);
  std::string changed = read_text_file(file.name(), kMaxTextBytes);
  if (!is_valid_utf8(changed))
    fail(ErrorCode::kBadString, "what the editor ({}) left is not UTF-8", printable(command));
  if (changed.ends_with('\n') && !text.ends_with('\n')) changed.pop_back();
  return changed;
}

}  // namespace duet
