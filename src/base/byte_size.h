#pragma once

#include <cstdint>
#include <string_view>

namespace duet {

/// A size as people type it: "4GiB", "500 MB", "1.5T", "4096". Units k, M, G, T with or without B are decimal, with iB
/// binary; case does not matter. Throws bad_value naming `what`: no such text, below 0, or above 2^60 bytes.
int64_t parse_byte_size(std::string_view what, std::string_view text);

}  // namespace duet
