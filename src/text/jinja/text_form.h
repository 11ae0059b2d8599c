#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// Python's str() and repr().
std::string to_text(Runtime& runtime, const Value& value);
std::string to_repr(Runtime& runtime, const Value& value);
/// The same, appended; throws a limit error instead of growing without end.
void append_repr(Runtime& runtime, const Value& value, std::string& out);

/// Shortest digits that read back as the same double, in Python's form: 1.0, 1e+16, 1e-07, inf, nan.
std::string float_repr(double value);
/// 'text' with Python's choice of quotes and escapes.
std::string string_repr(std::string_view text);
/// Digits of any integer; a type error above Python's limit of 4300.
std::string integer_text(const Value& integral);

/// markupsafe.escape(): marked text as it is, everything else as text with & < > ' " replaced.
std::string escape_html(Runtime& runtime, const Value& value);
std::string escape_html_text(std::string_view text);

}  // namespace duet::jinja
