#include "terminal/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "base/error.h"
#include "base/utf8.h"

namespace duet {
namespace {

bool environment_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

}  // namespace

Output::Output(int fd) : fd_(fd), terminal_(::isatty(fd) == 1) {
  const char* terminal_type = std::getenv("TERM");
  const bool dumb = terminal_type == nullptr || std::string_view(terminal_type) == "dumb";
  escapes_ = terminal_ && !dumb;
  colour_ = escapes_ && !environment_set("NO_COLOR");
}

void Output::write(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t n = ::write(fd_, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      fail(ErrorCode::kIoError, "{}: cannot write: {}", fd_ == 1 ? "standard output" : "standard error",
           std::generic_category().message(errno));
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void Output::write_untrusted(std::string_view text) const {
  write(terminal_ ? visible_controls(text) : std::string(text));
}

std::string Output::dim(std::string_view text) const {
  return colour_ ? fmt::format("\x1b[2m{}\x1b[0m", text) : std::string(text);
}

std::string Output::bold(std::string_view text) const {
  return colour_ ? fmt::format("\x1b[1m{}\x1b[0m", text) : std::string(text);
}

std::string visible_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    const char32_t c = step.code;
    if (c < 0x20 && c != '\n' && c != '\t') {
      out += '^';
      out += static_cast<char>(c + 0x40);
    } else if (c == 0x7f) {
      out += "^?";
    } else if (c >= 0x80 && c < 0xa0) {
      out += fmt::format("<{:02x}>", static_cast<unsigned>(c));
    } else {
      append_utf8(out, c);
    }
    text.remove_prefix(static_cast<size_t>(step.length));
  }
  return out;
}

}  // namespace duet
