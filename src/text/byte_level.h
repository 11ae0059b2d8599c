#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace duet {

/// GPT-2's spelling of bytes in vocabularies: 33-126, 161-172 and 174-255 stand for the characters of the same number,
/// the other bytes in ascending order for U+0100, U+0101, ...
std::string spell_bytes(std::string_view bytes);
/// The spelling of one byte.
std::string_view spell_byte(unsigned char byte);
/// Whether `spelling` is what spell_bytes(bytes) would give.
bool spells(std::string_view spelling, std::string_view bytes);
/// The bytes of a spelling; std::nullopt when a character stands for no byte.
std::optional<std::string> unspell_bytes(std::string_view spelling);
/// The same, appended; false when a character stands for no byte, and `out` is as it was.
bool append_unspelled(std::string_view spelling, std::string& out);

}  // namespace duet
