#pragma once

#include <span>
#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// A built-in method, called with the value that it belongs to.
struct MethodEntry {
  std::string_view name;
  Value (*method)(Runtime&, const Value& self, Args&);
};

/// A method of `self` as a value of its own. `body` may hold `self`: the depth counts it.
Value bind_method(Runtime& runtime, const Value& self, std::string_view name, Function::Body body);
/// The method of this name bound to `self`, or missing.
Value bound_method(Runtime& runtime, const Value& self, std::string_view name, std::span<const MethodEntry> methods);

}  // namespace duet::jinja
