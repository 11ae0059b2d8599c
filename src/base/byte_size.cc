#include "base/byte_size.h"

#include <charconv>
#include <cmath>
#include <string>

#include "base/error.h"

namespace duet {

int64_t parse_byte_size(std::string_view what, std::string_view text) {
  constexpr double kMost = 0x1p60;
  const auto refuse = [&] {
    fail(ErrorCode::kBadValue, "{} is '{}', legal: bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB", what,
         printable(text));
  };
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(value) || value < 0) refuse();
  std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  std::string unit;
  for (const char c : rest) unit += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr std::string_view kUnits = "kmgt";
  if (!unit.empty() && unit != "b") {
    const size_t power = kUnits.find(unit.front());
    const std::string_view after = std::string_view(unit).substr(1);
    if (power == std::string_view::npos || (!after.empty() && after != "b" && after != "ib")) refuse();
    value *= std::pow(after == "ib" ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  }
  if (value > kMost) refuse();
  return static_cast<int64_t>(value);
}

}  // namespace duet
