#pragma once

#include <cstdint>
#include <string>

#include "terminal/line_editor.h"

namespace duet {

/// All of standard input. Throws io_error, too_large (above `max_bytes`), cancelled (Ctrl-C).
std::string read_standard_input(uint64_t max_bytes);

/// Whether standard input is a pipe or a file, so that somebody may have put text into it.
bool standard_input_is_piped();

/// Lines of standard input where it is no terminal.
class InputLines final : public LineSource {
 public:
  /// The prompt is not shown. Throws io_error, too_large (a line above 16 MiB).
  ReadLine read(std::string_view prompt) override;

 private:
  std::string bytes_;
  bool ended_ = false;
};

}  // namespace duet
