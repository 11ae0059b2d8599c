#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace duet::jinja {

/// What Python's datetime.strftime gives for a local time without a zone, in the C locale, on a system with the GNU C
/// library: its flags (_ - 0 ^ #), widths and E and O modifiers included. Microseconds are nought. Empty where the
/// text has more than about 256 characters for each of the format's, as Python has it.
std::string strftime(const std::tm& time, std::string_view format);

}  // namespace duet::jinja
