#include "text/byte_level.h"

#include <array>

#include "base/utf8.h"

namespace duet {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/// The byte that a character below U+0200 stands for, -1: none.
constexpr std::array<int16_t, 512> kByteOf = [] {
  std::array<int16_t, 512> table{};
  for (int16_t& byte : table) byte = -1;
  unsigned next = 0x100;
  for (unsigned b = 0; b < 256; ++b) table[stands_for_itself(b) ? b : next++] = static_cast<int16_t>(b);
  return table;
}();

struct Spellings {
  std::array<std::string, 256> of;
  Spellings() {
    for (char32_t code = 0; code < kByteOf.size(); ++code) {
      if (kByteOf[code] >= 0) append_utf8(of[static_cast<size_t>(kByteOf[code])], code);
    }
  }
};

const std::array<std::string, 256>& spellings() {
  static const Spellings kSpellings;
  return kSpellings.of;
}

}  // namespace

std::string_view spell_byte(unsigned char byte) { return spellings()[byte]; }

std::string spell_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) out += spell_byte(static_cast<unsigned char>(c));
  return out;
}

bool spells(std::string_view spelling, std::string_view bytes) {
  const std::array<std::string, 256>& all = spellings();
  for (const char c : bytes) {
    const std::string& one = all[static_cast<unsigned char>(c)];
    if (!spelling.starts_with(one)) return false;
    spelling.remove_prefix(one.size());
  }
  return spelling.empty();
}

bool append_unspelled(std::string_view spelling, std::string& out) {
  const auto& byte = kByteOf;
  const size_t before = out.size();
  out.resize(before + spelling.size());  // at most so many; a place to write to is quicker than push_back()
  char* to = out.data() + before;
  const char* at = spelling.data();
  const char* const end = at + spelling.size();
  int worst = 0;  // negative as soon as a character stands for no byte
  while (at < end) {
    const auto first = static_cast<unsigned char>(*at++);
    unsigned code = first;
    if (first >= 0x80) {  // all that are no ASCII have two bytes
      if (first < 0xc2 || first >= 0xc8 || at == end) {
        worst = -1;
        break;
      }
      code = (first & 0x1fU) << 6 | (static_cast<unsigned char>(*at++) & 0x3fU);
    }
    worst |= byte[code];
    *to++ = static_cast<char>(byte[code]);
  }
  out.resize(worst < 0 ? before : static_cast<size_t>(to - out.data()));
  return worst >= 0;
}

std::optional<std::string> unspell_bytes(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  return append_unspelled(spelling, out) ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace duet
