#include "text/byte_level.h"

#include <array>

#include "base/utf8.h"

namespace duet {
namespace {

struct Table {
  std::array<std::string, 256> spelling;
  std::array<int16_t, 512> byte;
  Table() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      const char32_t code = itself ? b : next++;
      append_utf8(spelling[b], code);
      byte[code] = static_cast<int16_t>(b);
    }
  }
};

const Table& table() {
  static const Table kTable;
  return kTable;
}

}  // namespace

std::string_view spell_byte(unsigned char byte) { return table().spelling[byte]; }

std::string spell_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) out += spell_byte(static_cast<unsigned char>(c));
  return out;
}

bool spells(std::string_view spelling, std::string_view bytes) {
  const Table& all = table();
  for (const char c : bytes) {
    const std::string& one = all.spelling[static_cast<unsigned char>(c)];
    if (!spelling.starts_with(one)) return false;
    spelling.remove_prefix(one.size());
  }
  return spelling.empty();
}

bool append_unspelled(std::string_view spelling, std::string& out) {
  const Table& bytes = table();
  const size_t before = out.size();
  for (size_t i = 0; i < spelling.size();) {
    const auto first = static_cast<unsigned char>(spelling[i]);
    char32_t code = first;
    size_t length = 1;
    if (first >= 0xc2 && first < 0xe0 && i + 1 < spelling.size()) {  // all that are no ASCII have two bytes
      code = (first & 0x1fU) << 6 | (static_cast<unsigned char>(spelling[i + 1]) & 0x3fU);
      length = 2;
    } else if (first >= 0x80) {
      code = 0x1ff;
    }
    if (code >= bytes.byte.size() || bytes.byte[code] < 0) {
      out.resize(before);
      return false;
    }
    out += static_cast<char>(bytes.byte[code]);
    i += length;
  }
  return true;
}

std::optional<std::string> unspell_bytes(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  return append_unspelled(spelling, out) ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace duet
