#include "base/os_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <map>
#include <system_error>

#include "base/error.h"

extern char** environ;

namespace duet {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kGrace = std::chrono::seconds(3);  // pip needs well under one to remove its temporary files
constexpr int kTickMs = 100;

std::string reason(int error) { return std::generic_category().message(error); }

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> merged_environment(const std::vector<std::pair<std::string, std::string>>& extra) {
  std::map<std::string, std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) all[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  for (const auto& [key, value] : extra) all[key] = value;
  std::vector<std::string> out;
  out.reserve(all.size());
  for (const auto& [key, value] : all) out.push_back(fmt::format("{}={}", key, value));
  return out;
}

/// Between fork and exec: only calls that are safe there. Reports a failure as errno through `report`.
[[noreturn]] void become(const char* path, char** argv, char** environment, pid_t parent, int output, int errors,
                         int report) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) signal(number, SIG_DFL);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // we died before the line above took hold
  const int empty = open("/dev/null", O_RDONLY);
  if (empty >= 0) dup2(empty, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  execve(path, argv, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t ignored = write(report, &error, sizeof error);
  _exit(127);
}

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail(ErrorCode::kIoError, "cannot make a pipe: {}", reason(errno));
    read_end = ends[0];
    write_end = ends[1];
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(read_end);
    close_write_end();
  }
  void close_write_end() {
    if (write_end >= 0) ::close(write_end);
    write_end = -1;
  }
};

/// A child that is killed and reaped if it is left early (an exception in tick).
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!status_) {
      signal_group(SIGKILL);
      int status = 0;
      while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
      }
    }
  }
  void signal_group(int number) const {
    if (::kill(-pid_, number) != 0) ::kill(pid_, number);  // before its setpgid the group does not exist yet
  }
  bool ended() {
    int status = 0;
    if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    return status_.has_value();
  }
  int exit_status() const { return WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 128 + WTERMSIG(*status_); }

 private:
  pid_t pid_;
  std::optional<int> status_;
};

/// Appends what is there now; false at the end of the stream.
bool drain(int fd, std::string& output, size_t max_bytes) {
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    output.append(buffer.data(), static_cast<size_t>(n));
    if (output.size() > max_bytes) output.erase(0, output.size() - max_bytes);
  }
}

}  // namespace

std::optional<std::string> find_program(const std::string& program) {
  const auto is_executable = [](const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
  };
  if (program.find('/') != std::string::npos) {
    return is_executable(program) ? std::optional(program) : std::nullopt;
  }
  const char* variable = std::getenv("PATH");
  const std::string folders = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  for (size_t begin = 0; begin <= folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    if (end > begin) {  // an empty entry would be the current folder: never run what happens to lie there
      const std::string path = folders.substr(begin, end - begin) + '/' + program;
      if (is_executable(path)) return path;
    }
    begin = end + 1;
  }
  return std::nullopt;
}

ProcessResult run_process(const ProcessRequest& request, const Cancelled& cancelled,
                          const std::function<void()>& tick) {
  const auto path = find_program(request.command.at(0));
  if (!path) fail(ErrorCode::kNotFound, "the program '{}' is not in PATH", request.command[0]);
  std::vector<std::string> arguments = request.command;
  std::vector<std::string> environment = merged_environment(request.environment);
  std::vector<char*> argv = pointers(arguments);
  std::vector<char*> envp = pointers(environment);
  Pipe output;
  Pipe errors;
  Pipe report;
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) fail(ErrorCode::kIoError, "cannot start '{}': {}", *path, reason(errno));
  if (pid == 0) {
    become(path->c_str(), argv.data(), envp.data(), parent, output.write_end,
           request.separate_errors ? errors.write_end : output.write_end, report.write_end);
  }
  Child child(pid);
  ::setpgid(pid, pid);  // whoever is first, child or we; the loser's call fails harmlessly
  output.close_write_end();
  errors.close_write_end();
  report.close_write_end();
  int exec_error = 0;
  ssize_t n = 0;
  while ((n = ::read(report.read_end, &exec_error, sizeof exec_error)) < 0 && errno == EINTR) {
  }
  if (n == sizeof exec_error) fail(ErrorCode::kIoError, "cannot run '{}': {}", *path, reason(exec_error));

  ProcessResult result;
  struct Stream {
    int fd;
    std::string* text;
    bool open = true;
  };
  std::array<Stream, 2> streams{
      {{output.read_end, &result.output}, {errors.read_end, &result.errors, request.separate_errors}}};
  for (const Stream& stream : streams) ::fcntl(stream.fd, F_SETFL, O_NONBLOCK);
  const auto drain_all = [&] {
    for (Stream& stream : streams) {
      if (stream.open) stream.open = drain(stream.fd, *stream.text, request.max_output_bytes);
    }
  };
  std::optional<Clock::time_point> killing_time;
  while (!child.ended()) {
    std::array<pollfd, 2> waiting{};
    nfds_t count = 0;
    for (const Stream& stream : streams) {
      if (stream.open) waiting[count++] = {stream.fd, POLLIN, 0};
    }
    ::poll(waiting.data(), count, kTickMs);
    drain_all();
    if (tick) tick();
    if (!killing_time && cancelled && cancelled()) {
      result.cancelled = true;
      child.signal_group(SIGINT);
      killing_time = Clock::now() + kGrace;
    }
    if (killing_time && Clock::now() > *killing_time) child.signal_group(SIGKILL);
  }
  // What it wrote last. A grandchild may hold the pipe open, so the end of the stream is not waited for.
  drain_all();
  result.exit_status = child.exit_status();
  return result;
}

}  // namespace duet
