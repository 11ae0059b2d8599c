#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace duet::jinja {

/// Python's character classes, as bits.
enum : uint16_t {
  kSpace = 1 << 0,
  kAlpha = 1 << 1,
  kDecimal = 1 << 2,
  kDigit = 1 << 3,
  kNumeric = 1 << 4,
  kLower = 1 << 5,
  kUpper = 1 << 6,
  kTitle = 1 << 7,
  kPrintable = 1 << 8,
  kIdStart = 1 << 9,
  kIdContinue = 1 << 10,
  kCaseIgnorable = 1 << 11,
};
uint16_t properties(char32_t code);
inline bool has(char32_t code, uint16_t bits) { return (properties(code) & bits) != 0; }

/// The first character of a text that is UTF-8 or, beyond it, holds lone surrogates; the text must not be empty.
struct CodePoint {
  char32_t code;
  int length;
};
CodePoint first_code_point(std::string_view text);
/// Any code point, surrogates too.
void append_code_point(std::string& out, char32_t code);
/// Whether a lone surrogate stands in the text: it cannot be printed then.
bool has_surrogate(std::string_view text);
std::u32string decode(std::string_view text);
std::string encode(std::u32string_view codes);

/// Byte position of code point `index`; `index` is at most the length.
size_t byte_offset(std::string_view text, int64_t index);

/// str.lower, upper, title, capitalize, swapcase, casefold
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string to_title(std::string_view text);
std::string to_capitalized(std::string_view text);
std::string swap_case(std::string_view text);
std::string fold_case(std::string_view text);

bool is_identifier(std::string_view text);

/// Value of a decimal digit of any script, or -1.
int decimal_value(char32_t code);

}  // namespace duet::jinja
