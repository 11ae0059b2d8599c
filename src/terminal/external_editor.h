#pragma once

#include <string>
#include <string_view>

namespace duet {

/// The shell command of the person's editor: $VISUAL, else $EDITOR, else "".
std::string editor_command();

/// Lets a person change a text with an editor that takes the name of a file; the terminal is the editor's meanwhile. A
/// line end that the editor puts at the end is taken off. Throws io_error (it did not start, or ended with an error),
/// bad_string (not UTF-8), too_large.
std::string edit_in_editor(const std::string& command, std::string_view text);

}  // namespace duet
