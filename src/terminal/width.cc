#include "terminal/width.h"

#include <algorithm>
#include <iterator>

#include "base/utf8.h"

namespace duet {
namespace {

enum WidthBits : uint8_t { kColumns = 3, kEmoji = 4, kPictographic = 8, kSpacing = 16 };

struct WidthRun {
  char32_t first;
  uint8_t bits;
};

#include "terminal/width_tables.inc"

constexpr char32_t kJoiner = 0x200d, kEmojiStyle = 0xfe0f, kZeroWidthSpace = 0x200b;

uint8_t bits_of(char32_t code) {
  if (code >= 0x20 && code < 0x7f) return code == '#' || code == '*' || (code >= '0' && code <= '9') ? kEmoji | 1 : 1;
  const auto* after = std::upper_bound(std::begin(kWidthRuns), std::end(kWidthRuns), code,
                                       [](char32_t c, const WidthRun& run) { return c < run.first; });
  return std::prev(after)->bits;
}

bool is_flag_half(char32_t code) { return code >= 0x1f1e6 && code <= 0x1f1ff; }
bool is_skin_tone(char32_t code) { return code >= 0x1f3fb && code <= 0x1f3ff; }
bool stands_alone(char32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == kZeroWidthSpace; }

}  // namespace

Grapheme next_grapheme(std::string_view text) {
  if (text.empty()) return {};
  const Utf8Step first = decode_utf8(text);
  const uint8_t bits = bits_of(first.code);
  Grapheme grapheme{static_cast<size_t>(first.length), bits & kColumns};
  if (stands_alone(first.code)) return grapheme;
  bool half_flag = is_flag_half(first.code), joined = false;
  bool pictographic = (bits & kPictographic) != 0;
  while (grapheme.bytes < text.size()) {
    const Utf8Step next = decode_utf8(text.substr(grapheme.bytes));
    const uint8_t next_bits = bits_of(next.code);
    const bool joins = (half_flag && is_flag_half(next.code)) || (pictographic && is_skin_tone(next.code)) ||
                       (joined && (next_bits & kPictographic) != 0);
    if (joins) {
      grapheme.columns = 2;
    } else if ((next_bits & kSpacing) != 0) {
      ++grapheme.columns;
    } else if ((next_bits & kColumns) == 0 && !stands_alone(next.code)) {
      if (next.code == kEmojiStyle && (bits & kEmoji) != 0) grapheme.columns = 2;
    } else {
      break;
    }
    half_flag = false;
    joined = next.code == kJoiner && pictographic;
    grapheme.bytes += static_cast<size_t>(next.length);
  }
  return grapheme;
}

int64_t display_width(std::string_view text) {
  int64_t columns = 0;
  while (!text.empty()) {
    const Grapheme grapheme = next_grapheme(text);
    columns += grapheme.columns;
    text.remove_prefix(grapheme.bytes);
  }
  return columns;
}

std::string_view fitting(std::string_view text, int64_t columns) {
  size_t end = 0;
  while (end < text.size()) {
    const Grapheme grapheme = next_grapheme(text.substr(end));
    columns -= grapheme.columns;
    if (columns < 0) break;
    end += grapheme.bytes;
  }
  return text.substr(0, end);
}

std::string shortened(std::string_view text, int64_t columns) {
  if (const std::string_view whole = fitting(text, columns); whole.size() == text.size()) return std::string(text);
  if (columns <= 0) return {};
  return std::string(fitting(text, columns - 1)) + "…";
}

}  // namespace duet
