#pragma once

#include <optional>
#include <string_view>

#include "text/jinja/runtime.h"

namespace duet::jinja {

/// int(text, base) and float(text) of Python: white space around, single underscores between digits, digits of any
/// script. std::nullopt where Python raises ValueError.
std::optional<BigInt> parse_int(Runtime& runtime, std::string_view text, int64_t base);
std::optional<double> parse_float(std::string_view text);

}  // namespace duet::jinja
