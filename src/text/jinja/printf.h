#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// format % values, of a text or of bytes
Value format_percent(Runtime& runtime, const Value& format, const Value& values);

/// What stands between a number and its field: shared by %-formats and format().
struct NumberStyle {
  char type = 'g';  // e E f F g G, or 'r' for repr
  int64_t precision = 6;
  bool alternate = false;  // '#'
};
/// Digits of a double without sign.
std::string format_double(double value, const NumberStyle& style);

/// Escapes for what is not ASCII, as in Python's ascii().
std::string to_ascii(std::string_view text);

}  // namespace duet::jinja
