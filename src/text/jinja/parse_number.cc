#include "text/jinja/parse_number.h"

#include <cstdlib>
#include <string>

#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

/// ASCII with the decimal digits of all scripts turned into 0-9, white space stripped; empty if anything else is in it.
std::string ascii_number(std::string_view text) {
  std::string out;
  for (const char32_t code : decode(strip_end(strip_start(text)))) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (const int digit = decimal_value(code); digit >= 0) {
      out += static_cast<char>('0' + digit);
    } else {
      return {};
    }
  }
  return out;
}

/// Removes underscores; false unless each stands between two digits.
bool drop_underscores(std::string& text, bool (*is_digit)(char)) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])))
      return false;
  }
  std::erase(text, '_');
  return true;
}

bool is_decimal(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_decimal(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::optional<BigInt> parse_int(Runtime& runtime, std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  runtime.budget.bytes(static_cast<int64_t>(text.size()) * 4);
  std::string digits = ascii_number(text);
  if (digits.empty()) return std::nullopt;
  const bool negative = digits[0] == '-';
  if (negative || digits[0] == '+') digits.erase(0, 1);
  const char letter = digits.size() > 1 && digits[0] == '0' ? static_cast<char>(digits[1] | 0x20) : ' ';
  const int64_t prefix_base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  bool decimal_zero_rule = false;
  if (prefix_base != 0 && (base == 0 || base == prefix_base)) {
    digits.erase(0, 2);
    if (digits.starts_with("_")) digits.erase(0, 1);
    base = prefix_base;
  } else if (base == 0) {
    base = 10;
    decimal_zero_rule = digits.size() > 1 && digits[0] == '0';
  }
  if (!drop_underscores(digits, is_alphanumeric)) return std::nullopt;
  if (decimal_zero_rule && digits.find_first_not_of('0') != std::string::npos) return std::nullopt;
  const bool power_of_two = (base & (base - 1)) == 0;
  if (!power_of_two && digits.size() > 4300) return std::nullopt;
  if (digits.size() > 100'000) raise_limit("an integer of {} digits is too long", digits.size());
  const auto size = static_cast<int64_t>(digits.size());
  runtime.budget.bytes(size * size / 8);
  const std::optional<BigInt> value = BigInt::parse(digits, static_cast<int>(base));
  if (!value) return std::nullopt;
  return negative ? -*value : *value;
}

std::optional<double> parse_float(std::string_view text) {
  std::string number = ascii_number(text);
  if (number.empty() || !drop_underscores(number, is_decimal)) return std::nullopt;
  std::string lower = to_lower(number);
  const std::string_view bare = std::string_view(lower).substr(lower[0] == '-' || lower[0] == '+' ? 1 : 0);
  if (bare != "inf" && bare != "infinity" && bare != "nan") {
    // Only digits, one dot and one exponent: strtod would take hexadecimal forms as well.
    size_t at = 0, digits = 0;
    const auto run = [&] {
      while (at < bare.size() && is_decimal(bare[at])) ++at, ++digits;
    };
    run();
    if (at < bare.size() && bare[at] == '.') {
      ++at;
      run();
    }
    if (digits == 0) return std::nullopt;
    if (at < bare.size() && bare[at] == 'e') {
      ++at;
      if (at < bare.size() && (bare[at] == '+' || bare[at] == '-')) ++at;
      digits = 0;
      run();
      if (digits == 0) return std::nullopt;
    }
    if (at != bare.size()) return std::nullopt;
  }
  return std::strtod(lower.c_str(), nullptr);
}

}  // namespace duet::jinja
