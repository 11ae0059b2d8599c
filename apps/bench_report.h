#pragma once

#include <string>

#include "base/json.h"
#include "report/bench.h"

namespace duet {

/// A measurement for the terminal, at most `width` columns; `bold` makes heads stand out.
std::string bench_text(const BenchResult& result, int width, bool bold);
/// As a Markdown document.
std::string bench_markdown(const BenchResult& result);
/// As one JSON object; docs/outside-checks.md has its fields.
Json bench_json(const BenchResult& result);

}  // namespace duet
