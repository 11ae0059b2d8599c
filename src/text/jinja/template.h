#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/jinja/limits.h"
#include "text/jinja/template_error.h"

namespace duet::jinja {

/// A parsed template. Immutable and thread-safe.
class Template {
 public:
  /// Throws TemplateError (syntax, type, limit).
  static Template parse(std::string_view source, const Limits& limits = {});

  struct Rendered {
    std::string text;
    bool has_generation = false;
    std::vector<std::pair<int64_t, int64_t>> generation;  // code point spans of generation blocks
  };
  /// `variables` is an object. `now` is what strftime_now tells; unset: the clock. Throws TemplateError.
  Rendered render(const Json& variables, const std::optional<std::tm>& now = std::nullopt) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace duet::jinja
