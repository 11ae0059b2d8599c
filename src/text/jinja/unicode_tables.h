#pragma once

#include <cstddef>
#include <cstdint>

namespace duet::jinja {

// Apart from src/text/unicode_tables.inc, because templates see the Unicode 14.0.0 of the reference's Python, with its
// classes and case mappings, while tokenizers split by the categories of a newer Unicode.

/// From `first` to the next run all characters have these properties (bits: see unicode.h).
struct PropertyRun {
  uint32_t first;
  uint16_t properties;
};

/// Characters first, first + stride, ..., last map to themselves + delta.
struct CaseRun {
  uint32_t first, last;
  uint8_t stride;
  int32_t delta;
};

/// A character that maps to two or three; 0 ends the list.
struct CaseExpansion {
  uint32_t code;
  uint32_t to[3];
};

extern const PropertyRun kPropertyRuns[];
extern const size_t kPropertyRunCount;
extern const CaseRun kLowerRuns[], kUpperRuns[], kTitleRuns[], kFoldRuns[];
extern const size_t kLowerRunCount, kUpperRunCount, kTitleRunCount, kFoldRunCount;
extern const CaseExpansion kLowerExpansions[], kUpperExpansions[], kTitleExpansions[], kFoldExpansions[];
extern const size_t kLowerExpansionCount, kUpperExpansionCount, kTitleExpansionCount, kFoldExpansionCount;

}  // namespace duet::jinja
