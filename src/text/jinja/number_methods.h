#pragma once

#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// A method or attribute of an int, bool or float; missing if there is none.
Value number_attribute(Runtime& runtime, const Value& value, std::string_view name);

}  // namespace duet::jinja
