#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace duet {

/// The lines of a Markdown table, each with its leading |, drawn with aligned columns in at most `columns` columns;
/// cells that are too wide are wrapped. Empty: the lines are no table, or there is no room for one.
std::vector<std::string> render_table(const std::vector<std::string>& lines, int64_t columns, bool colour);

}  // namespace duet
