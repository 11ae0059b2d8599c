#include "text/unicode.h"

#include <algorithm>
#include <iterator>

namespace duet {
namespace {

struct Decomposition {
  char32_t code;
  uint16_t first;
  uint16_t count;
};
struct Composition {
  char32_t first;
  char32_t second;
  char32_t composite;
};

#include "text/unicode_tables.inc"

constexpr char32_t kCodes = 0x110000;

}  // namespace

uint8_t character_class(char32_t code) {
  if (code >= kCodes) return 0;
  return kClassBlocks[kClassIndex[code / kUnicodeBlock] * kUnicodeBlock + code % kUnicodeBlock];
}

CharacterClassTables character_class_tables() {
  static_assert(kUnicodeBlock == CharacterClassTables::kBlock);
  return {kClassIndex, kClassBlocks};
}

uint8_t combining_class(char32_t code) {
  if (code >= kCodes) return 0;
  return kCombiningBlocks[kCombiningIndex[code / kUnicodeBlock] * kUnicodeBlock + code % kUnicodeBlock];
}

std::u32string_view canonical_decomposition(char32_t code) {
  const auto* found = std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), code,
                                       [](const Decomposition& d, char32_t c) { return d.code < c; });
  if (found == std::end(kDecompositions) || found->code != code) return {};
  return {kDecompositionUnits + found->first, found->count};
}

char32_t canonical_composition(char32_t first, char32_t second) {
  const auto* found = std::lower_bound(std::begin(kCompositions), std::end(kCompositions),
                                       Composition{first, second, 0}, [](const Composition& a, const Composition& b) {
                                         return a.first != b.first ? a.first < b.first : a.second < b.second;
                                       });
  return found != std::end(kCompositions) && found->first == first && found->second == second ? found->composite : 0;
}

std::string_view unicode_version() { return kUnicodeVersion; }

}  // namespace duet
