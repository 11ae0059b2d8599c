#pragma once

#include <cstdint>
#include <string_view>

namespace duet {

/// What the patterns of tokenizers ask about a character; several bits may be set.
enum CharacterClass : uint8_t {
  kLetter = 1,      // \p{L}
  kNumber = 2,      // \p{N}
  kMark = 4,        // \p{M}
  kSpace = 8,       // \s: White_Space
  kUpperLike = 16,  // \p{Lu} \p{Lt} \p{Lm} \p{Lo} \p{M}
  kLowerLike = 32,  // \p{Ll} \p{Lm} \p{Lo} \p{M}
  kWord = 64,       // \w: alphabetic, mark, decimal digit, connector, U+200C and U+200D
  kNotNfc = 128,    // may change in NFC or take part in a change: combining class, or quick check not "yes"
};

/// Bits of CharacterClass; 0 for surrogates and codes above U+10FFFF.
uint8_t character_class(char32_t code);

/// The same as two stages of tables, for loops over text: blocks[index[code / kBlock] * kBlock + code % kBlock], for
/// codes below 0x110000.
struct CharacterClassTables {
  static constexpr char32_t kBlock = 128;
  const uint8_t* index;
  const uint8_t* blocks;
  uint8_t operator()(char32_t code) const { return blocks[index[code / kBlock] * kBlock + code % kBlock]; }
};
CharacterClassTables character_class_tables();

/// Canonical combining class.
uint8_t combining_class(char32_t code);

/// The full canonical decomposition (1 to 4 code points), empty when the character stands for itself. Not for Hangul
/// syllables.
std::u32string_view canonical_decomposition(char32_t code);

/// The primary composite of two characters, 0 when there is none. Not for Hangul.
char32_t canonical_composition(char32_t first, char32_t second);

/// "16.0.0"
std::string_view unicode_version();

}  // namespace duet
