#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace duet {

struct TableColumn {
  std::string header;
  bool right = false;  // numbers
};

/// Rows of cells in columns that are two spaces apart, at most `width` columns wide as far as words allow: what is too
/// wide is wrapped inside its cell, the widest columns first. Cells may hold line ends. Untrusted text must have gone
/// through visible_controls(). Without headers (all empty) there is no head. `bold` makes the head stand out.
std::string table_text(const std::vector<TableColumn>& columns, const std::vector<std::vector<std::string>>& rows,
                       int width, bool bold = false);

/// The same as a GitHub-flavoured Markdown table: | is escaped, line ends become <br>.
std::string table_markdown(const std::vector<TableColumn>& columns, const std::vector<std::vector<std::string>>& rows);

}  // namespace duet
