#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace duet {

/// Why a template failed; the names are those of `error_kind` in the output of `duet template`.
enum class TemplateErrorKind {
  kRaised,     // raise_exception: the message is the template's own
  kUndefined,  // use of an undefined value
  kSyntax,     // does not parse, unknown filter, test or tag
  kType,       // wrong type or value, division by zero, no loader
  kRuntime,    // other faults found while rendering
  kSecurity,   // the sandbox said no
  kLimit,      // too deep, too long, too large
};

/// "raised", "undefined", "syntax", "type", "runtime", "security" or "limit".
std::string_view template_error_kind_name(TemplateErrorKind kind);

/// A template that is wrong or that asks for too much: code template_limit for kind limit, template_error for all
/// others.
class TemplateError : public Error {
 public:
  /// `where` (the name of the template's file) stands before the detail in message() and may be empty.
  TemplateError(TemplateErrorKind kind, const std::string& detail, const std::string& where = {})
      : Error(kind == TemplateErrorKind::kLimit ? ErrorCode::kTemplateLimit : ErrorCode::kTemplateError,
              where.empty() ? detail : where + ": " + detail),
        kind_(kind),
        detail_(detail) {}
  TemplateErrorKind kind() const { return kind_; }
  /// The message without the file's name; for kRaised exactly what the template said.
  const std::string& detail() const { return detail_; }

 private:
  TemplateErrorKind kind_;
  std::string detail_;
};

namespace jinja {

template <typename... Args>
[[noreturn]] void raise(TemplateErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(kind, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void raise_type(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(TemplateErrorKind::kType, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void raise_limit(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(TemplateErrorKind::kLimit, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace jinja
}  // namespace duet
