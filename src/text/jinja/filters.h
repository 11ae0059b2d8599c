#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace duet::jinja {

/// A filter or test of the environment.
struct Builtin {
  std::string_view name;
  FilterFunction function;
  bool needs_context = false;  // never folded to a constant
};

/// nullptr for an unknown name.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);

}  // namespace duet::jinja
