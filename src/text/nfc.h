#pragma once

#include <string>
#include <string_view>

namespace duet {

/// Normalization Form C (UAX 15). `text` is valid UTF-8. Linear time, however long a run of combining marks is.
std::string nfc(std::string_view text);

/// Whether every character passes the quick check, so that nfc() gives the same text.
bool is_plainly_nfc(std::string_view text);

}  // namespace duet
