#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace duet {

/// One step of decoding: `length` bytes were read (>= 1 unless the text is empty). `valid` is false for a maximal
/// invalid part, which stands for one U+FFFD (the rule of WHATWG and of Python's errors="replace"); `code` is U+FFFD
/// then. `incomplete`: the invalid part is a proper prefix of a character and reaches the end of the text, so more
/// bytes may mend it.
struct Utf8Step {
  char32_t code = 0xfffd;
  int length = 0;
  bool valid = false;
  bool incomplete = false;
};

Utf8Step decode_utf8(std::string_view text);

/// Appends `code` (a scalar value) as UTF-8.
void append_utf8(std::string& out, char32_t code);

/// Where the run of ASCII from `begin` ends.
size_t ascii_end(std::string_view text, size_t begin);

bool is_valid_utf8(std::string_view text);

/// Bytes before the first invalid part.
size_t valid_utf8_prefix(std::string_view text);

/// Characters of valid UTF-8.
int64_t count_code_points(std::string_view text);

/// Every maximal invalid part becomes one U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace duet
