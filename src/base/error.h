#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace duet {

/// What went wrong, in the stable vocabulary that scripts may rely on (docs/outside-checks.md lists the meanings).
enum class ErrorCode {
  kIoError,
  kNotFound,
  kBadMagic,
  kUnsupportedVersion,
  kTruncated,
  kCountExceedsFile,
  kBadAlignment,
  kBadOffset,
  kOverlappingTensors,
  kBadShape,
  kBadDtype,
  kSizeOverflow,
  kBadString,
  kBadKey,
  kBadType,
  kMissingKey,
  kBadValue,
  kMissingTensor,
  kUnexpectedTensor,
  kDuplicateTensor,
  kShapeMismatch,
  kMissingShard,
  kShardMismatch,
  kUnsupportedArchitecture,
  kUnsupportedFeature,
  kBadJson,
  kTooDeep,
  kTooLarge,
  kPathEscape,
  kPickleRefused,
  kBadTokenizer,
  kTemplateError,
  kTemplateLimit,
  kNonFinite,
  kUsageError,
  kOutOfMemory,
  kHashMismatch,
  kNetworkError,
  kContextOverflow,
  kCancelled,
};

/// The code's stable spelling: "bad_magic".
std::string_view error_code_name(ErrorCode code);

/// Wrong input of any kind: a file, a request, an option. Caught once per boundary (command > exit code).
/// `message` names the thing, the value and the legal range; `hint` says what to do, and may be empty.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}
  ErrorCode code() const { return code_; }
  std::string message() const { return what(); }
  const std::string& hint() const { return hint_; }
  /// 130 for an interruption, 2 for wrong usage, 1 for all else.
  int exit_status() const;

 private:
  ErrorCode code_;
  std::string hint_;
};

/// Throws Error with a formatted message: fail(ErrorCode::kBadValue, "{}: key '{}' is {}", file, key, value).
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// The printable form of untrusted bytes for a message: control and invalid bytes as \xNN, cut after `max` bytes.
std::string printable(std::string_view bytes, size_t max = 120);

}  // namespace duet
