#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// str.format and str.format_map, sandboxed: attributes are looked up as in templates.
Value format_method(Runtime& runtime, const Value& self, Args& args);
Value format_map_method(Runtime& runtime, const Value& self, Args& args);
/// format(value, spec)
std::string format_value(Runtime& runtime, const Value& value, const std::string& spec);

}  // namespace duet::jinja
