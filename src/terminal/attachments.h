#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// A message with the files that it names put into it.
struct Attached {
  struct File {
    std::string name;  // as written
    int64_t lines = 0;
  };
  std::string text;
  std::vector<File> files;
};

/// Attaches the text files that a message names as @path, @"a path" at the beginning of a word. The message stays as it
/// is and each file follows it once, in the order of first mention:
///
///   File src/main.cc:
///   ```cc
///   ...
///   ```
///
/// with a fence longer than any in the file. Punctuation after a path is not part of it; \@ is an @. An @word that
/// names no file and has no / or . in it stays text, and so does everything within `pasted`, pieces of the message that
/// nobody typed. Throws not_found, io_error (a folder, permissions), too_large (above 1 MiB), bad_string (binary, not
/// UTF-8).
Attached attach_files(std::string_view message, const std::vector<std::string>& pasted = {});

/// "~/x" as a shell has it.
std::filesystem::path expanded_home(std::string_view name);

/// The files and folders that `partial`, the beginning of a path, may become, in the same form; folders end with /.
std::vector<std::string> complete_path(std::string_view partial);

}  // namespace duet
