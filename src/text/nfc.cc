#include "text/nfc.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/utf8.h"
#include "text/unicode.h"

namespace duet {
namespace {

// Hangul syllables are composed and decomposed by arithmetic (Unicode, section 3.12).
constexpr char32_t kSyllable = 0xac00, kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11a7;
constexpr char32_t kLeads = 19, kVowels = 21, kTrails = 28;

/// A character and its combining class, in four bytes: hostile text makes millions of them in one run.
class Unit {
 public:
  Unit() = default;
  Unit(char32_t code, uint8_t combining) : bits_(static_cast<uint32_t>(combining) << 24 | code) {}
  char32_t code() const { return bits_ & 0xffffffU; }
  uint8_t combining() const { return static_cast<uint8_t>(bits_ >> 24); }

 private:
  uint32_t bits_ = 0;
};

void decompose(char32_t code, std::vector<Unit>& out) {
  if (code >= kSyllable && code < kSyllable + kLeads * kVowels * kTrails) {
    const char32_t index = code - kSyllable;
    out.push_back({kLead + index / (kVowels * kTrails), 0});
    out.push_back({kVowel + index % (kVowels * kTrails) / kTrails, 0});
    if (index % kTrails != 0) out.push_back({kTrail + index % kTrails, 0});
    return;
  }
  const std::u32string_view parts = canonical_decomposition(code);
  if (parts.empty()) {
    out.push_back({code, combining_class(code)});
  } else {
    for (const char32_t part : parts) out.push_back({part, combining_class(part)});
  }
}

/// Sorts each run of marks by combining class, stably; a counting sort for long runs keeps hostile text linear.
void reorder(std::vector<Unit>& units, std::vector<Unit>& scratch) {
  for (size_t i = 0; i < units.size();) {
    if (units[i].combining() == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < units.size() && units[end].combining() != 0) ++end;
    if (end - i <= 16) {
      for (size_t j = i + 1; j < end; ++j) {
        const Unit unit = units[j];
        size_t k = j;
        for (; k > i && units[k - 1].combining() > unit.combining(); --k) units[k] = units[k - 1];
        units[k] = unit;
      }
    } else {
      std::array<size_t, 257> begin{};
      for (size_t j = i; j < end; ++j) ++begin[units[j].combining() + 1U];
      for (size_t c = 1; c < begin.size(); ++c) begin[c] += begin[c - 1];
      scratch.resize(end - i);
      for (size_t j = i; j < end; ++j) scratch[begin[units[j].combining()]++] = units[j];
      std::copy(scratch.begin(), scratch.end(), units.begin() + static_cast<std::ptrdiff_t>(i));
    }
    i = end;
  }
}

char32_t compose_pair(char32_t first, char32_t second) {
  if (first >= kLead && first < kLead + kLeads && second >= kVowel && second < kVowel + kVowels) {
    return kSyllable + ((first - kLead) * kVowels + (second - kVowel)) * kTrails;
  }
  if (first >= kSyllable && first < kSyllable + kLeads * kVowels * kTrails && (first - kSyllable) % kTrails == 0 &&
      second > kTrail && second < kTrail + kTrails) {
    return first + (second - kTrail);
  }
  return canonical_composition(first, second);
}

/// In place: a character that is not blocked joins the last starter when the two have a composite.
void compose(std::vector<Unit>& units) {
  constexpr size_t kNone = SIZE_MAX;
  size_t starter = kNone, out = 0;
  int last = 0;  // combining class of the last character kept after the starter; -1: nothing lies between
  for (size_t i = 0; i < units.size(); ++i) {
    const Unit unit = units[i];
    if (starter != kNone && (last < static_cast<int>(unit.combining()))) {
      if (const char32_t joined = compose_pair(units[starter].code(), unit.code()); joined != 0) {
        units[starter] = {joined, units[starter].combining()};
        continue;
      }
    }
    if (unit.combining() == 0) {
      starter = out;
      last = -1;
    } else {
      last = unit.combining();
    }
    units[out++] = unit;
  }
  units.resize(out);
}

}  // namespace

bool is_plainly_nfc(std::string_view text) {
  const CharacterClassTables classes = character_class_tables();
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  for (size_t i = 0; i < text.size();) {
    i = ascii_end(text, i);
    if (i == text.size()) break;
    const unsigned lead = byte(i);  // the text is valid: the first byte says how many follow
    char32_t code;
    if (lead < 0xe0) {
      code = (lead & 0x1fU) << 6 | (byte(i + 1) & 0x3fU);
      i += 2;
    } else if (lead < 0xf0) {
      code = (lead & 0x0fU) << 12 | (byte(i + 1) & 0x3fU) << 6 | (byte(i + 2) & 0x3fU);
      i += 3;
    } else {
      code = decode_utf8(text.substr(i)).code;
      i += 4;
    }
    if ((classes(code) & kNotNfc) != 0) return false;
  }
  return true;
}

std::string nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<Unit> units, scratch;
  size_t copied = 0;  // text before this is in `out`
  size_t boundary =
      0;  // the last character that passes the quick check: nothing before it can change with what follows
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Step step = decode_utf8(text.substr(i));
    if ((character_class(step.code) & kNotNfc) == 0) {
      boundary = i;
      i += static_cast<size_t>(step.length);
      continue;
    }
    out.append(text.substr(copied, boundary - copied));
    units.clear();
    for (size_t j = boundary; j < text.size();) {
      const Utf8Step next = decode_utf8(text.substr(j));
      if (j > i && (character_class(next.code) & kNotNfc) == 0) break;
      decompose(next.code, units);
      j += static_cast<size_t>(next.length);
      copied = j;
    }
    reorder(units, scratch);
    compose(units);
    for (const Unit& unit : units) append_utf8(out, unit.code());
    i = boundary = copied;
  }
  return out.append(text.substr(copied));
}

}  // namespace duet
