#pragma once

#include <string>

#include "base/json.h"
#include "report/compare.h"

namespace duet {

/// A comparison for the terminal, at most `width` columns; `bold` makes heads stand out.
std::string compare_text(const Comparison& comparison, int width, bool bold);
/// As a Markdown document.
std::string compare_markdown(const Comparison& comparison);
/// As one JSON object.
Json compare_json(const Comparison& comparison);

}  // namespace duet
