#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace duet::jinja {

/// The pure string algorithms behind Python's str methods, on UTF-8 text.

/// Bytes of white space at the start and the end.
std::string_view strip_start(std::string_view text);
std::string_view strip_end(std::string_view text);
/// The same for the code points of `set`.
std::string_view strip_start(std::string_view text, std::u32string_view set);
std::string_view strip_end(std::string_view text, std::u32string_view set);

/// Position in bytes of the first or the last occurrence, or npos. Linear in both texts, whatever they hold.
size_t find_first(std::string_view text, std::string_view part);
size_t find_last(std::string_view text, std::string_view part);

/// str.split(None, limit) and str.split(separator, limit); limit < 0: no limit. separator must not be empty.
std::vector<std::string_view> split_space(std::string_view text, int64_t limit);
std::vector<std::string_view> split(std::string_view text, std::string_view separator, int64_t limit);
std::vector<std::string_view> rsplit_space(std::string_view text, int64_t limit);
std::vector<std::string_view> rsplit(std::string_view text, std::string_view separator, int64_t limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);
/// Occurrences that do not overlap; an empty `part` is found before and after every code point.
int64_t count(std::string_view text, std::string_view part);
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit);

}  // namespace duet::jinja
