#include "terminal/input.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "base/utf8.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr uint64_t kMaxLineBytes = uint64_t{16} << 20;

/// Appends what one read() gives. False at the end of the input; nothing appended: a signal came.
bool read_some(std::string& bytes) {
  char buffer[65536];
  const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0) fail(ErrorCode::kIoError, "standard input: cannot read: {}", std::generic_category().message(errno));
  bytes.append(buffer, static_cast<size_t>(n));
  return n > 0;
}

void check_size(uint64_t bytes, uint64_t max_bytes, std::string_view what) {
  if (bytes > max_bytes) fail(ErrorCode::kTooLarge, "standard input: {} has more than {} bytes", what, max_bytes);
}

}  // namespace

std::string read_standard_input(uint64_t max_bytes) {
  std::string bytes;
  while (read_some(bytes)) {
    throw_if_interrupted();
    check_size(bytes.size(), max_bytes, "the text");
  }
  return bytes;
}

bool standard_input_is_piped() {
  struct stat status {};
  return ::fstat(STDIN_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode));
}

ReadLine InputLines::read(std::string_view) {
  size_t searched = 0;
  while (true) {
    const size_t end = bytes_.find('\n', searched);
    if (end != std::string::npos || (ended_ && !bytes_.empty())) {
      std::string line = bytes_.substr(0, end);
      bytes_.erase(0, end == std::string::npos ? end : end + 1);
      if (line.ends_with('\r')) line.pop_back();
      if (!is_valid_utf8(line)) {
        fail(ErrorCode::kBadString, "standard input: a line is not UTF-8 from its byte {} on", valid_utf8_prefix(line));
      }
      return {ReadLine::Kind::kLine, line, line, {}};
    }
    if (ended_) return {ReadLine::Kind::kEnd, {}, {}, {}};
    if (take_interrupt()) return {ReadLine::Kind::kInterrupted, {}, {}, {}};
    searched = bytes_.size();
    ended_ = !read_some(bytes_);
    check_size(bytes_.size(), kMaxLineBytes, "a line");
  }
}

}  // namespace duet
