#include "base/utf8.h"

#include <algorithm>
#include <cstring>

namespace duet {

Utf8Step decode_utf8(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {.code = first, .length = 1, .valid = true};
  // Second bytes are narrowed where overlong forms, surrogates or codes above U+10FFFF would begin (Unicode, table
  // 3-7).
  int length = 0;
  unsigned low = 0x80, high = 0xbf;
  char32_t code = 0;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2, code = first & 0x1f;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3, code = first & 0x0f;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4, code = first & 0x07;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return {.length = 1};
  }
  for (int i = 1; i < length; ++i) {
    if (static_cast<size_t>(i) >= text.size()) return {.length = i, .incomplete = true};
    const unsigned next = byte(static_cast<size_t>(i));
    if (next < low || next > high) return {.length = i};
    code = (code << 6) | (next & 0x3f);
    low = 0x80, high = 0xbf;
  }
  return {.code = code, .length = length, .valid = true};
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | (code >> 6));
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3f));
    put(0x80 | ((code >> 6) & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

size_t ascii_end(std::string_view text, size_t begin) {
  size_t i = begin;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080ULL) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

int64_t count_code_points(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return count;
}

namespace {

/// Where a run of characters of one and two bytes from `begin` ends, to within eight bytes: they are judged eight bytes
/// at a time without a branch, as vocabularies are full of them. A run that ends between the two bytes of a character
/// ends before it.
size_t short_characters_end(std::string_view text, size_t begin) {
  constexpr uint64_t kHigh = 0x8080808080808080ULL;
  uint64_t open = 0;  // 0x80 when a character's second byte must come first
  size_t i = begin;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);  // little-endian: the next byte is the next higher one
    const uint64_t lead = word & (word << 1) & kHigh, second = word & ~lead & kHigh;
    const uint64_t is_long = lead & (word << 2);                                               // 0xe0 and above
    const uint64_t too_low = lead & ~((word << 3) | (word << 4) | (word << 5) | (word << 6));  // 0xc0, 0xc1
    if (((second ^ (lead << 8 | open)) | is_long | too_low) != 0) break;
    open = lead >> 56;
  }
  return i - (open >> 7);
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  constexpr size_t kStretch = 64;  // judged by the character before the quick way is tried again
  const auto follows = [&](size_t i) { return (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80; };
  for (size_t i = 0; i < text.size();) {
    i = short_characters_end(text, i);
    for (const size_t end = std::min(text.size(), i + kStretch); i < end;) {
      const auto first = static_cast<unsigned char>(text[i]);
      if (first < 0x80) {
        i += 1;
      } else if (i + 3 <= text.size() && first > 0xe0 && first < 0xf0 && first != 0xed && follows(i + 1) &&
                 follows(i + 2)) {
        i += 3;  // most characters of long texts, without the care that their neighbours need
      } else if (i + 2 <= text.size() && first >= 0xc2 && first < 0xe0 && follows(i + 1)) {
        i += 2;
      } else {
        const Utf8Step step = decode_utf8(text.substr(i));
        if (!step.valid) return false;
        i += static_cast<size_t>(step.length);
      }
    }
  }
  return true;
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Step step = decode_utf8(text.substr(at));
    if (!step.valid) break;
    at += static_cast<size_t>(step.length);
  }
  return at;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    append_utf8(out, step.code);
    text.remove_prefix(static_cast<size_t>(step.length));
  }
  return out;
}

}  // namespace duet
