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

std::optional<std::string> unspell_bytes(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  const Table& bytes = table();
  for (size_t i = 0; i < spelling.size();) {
    const Utf8Step step = decode_utf8(spelling.substr(i));
    if (!step.valid || step.code >= bytes.byte.size() || bytes.byte[step.code] < 0) return std::nullopt;
    out += static_cast<char>(bytes.byte[step.code]);
    i += static_cast<size_t>(step.length);
  }
  return out;
}

}  // namespace duet
