#include "text/jinja/unicode.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/unicode_tables.h"

namespace duet::jinja {

uint16_t properties(char32_t code) {
  const PropertyRun* end = kPropertyRuns + kPropertyRunCount;
  const PropertyRun* after = std::upper_bound(kPropertyRuns, end, code,
                                              [](char32_t value, const PropertyRun& run) { return value < run.first; });
  return after == kPropertyRuns ? 0 : (after - 1)->properties;
}

CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  if (byte(0) == 0xed && text.size() > 2 && byte(1) >= 0xa0 && byte(1) <= 0xbf) {  // a lone surrogate
    return {static_cast<char32_t>(0xd000 | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f)), 3};
  }
  const Utf8Step step = decode_utf8(text);
  return {step.code, step.length};
}

void append_code_point(std::string& out, char32_t code) { append_utf8(out, code); }

bool has_surrogate(std::string_view text) {
  for (size_t i = text.find('\xed'); i != std::string_view::npos; i = text.find('\xed', i + 1)) {
    if (i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0xa0) return true;
  }
  return false;
}

std::u32string decode(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    out += point.code;
    text.remove_prefix(static_cast<size_t>(point.length));
  }
  return out;
}

std::string encode(std::u32string_view codes) {
  std::string out;
  for (const char32_t code : codes) append_code_point(out, code);
  return out;
}

size_t byte_offset(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  }
  return at;
}

namespace {

struct CaseTable {
  const CaseRun* runs;
  size_t run_count;
  const CaseExpansion* expansions;
  size_t expansion_count;
};
const CaseTable kLowerTable{kLowerRuns, kLowerRunCount, kLowerExpansions, kLowerExpansionCount};
const CaseTable kUpperTable{kUpperRuns, kUpperRunCount, kUpperExpansions, kUpperExpansionCount};
const CaseTable kTitleTable{kTitleRuns, kTitleRunCount, kTitleExpansions, kTitleExpansionCount};
const CaseTable kFoldTable{kFoldRuns, kFoldRunCount, kFoldExpansions, kFoldExpansionCount};

/// Appends the mapping of `code`; false if the table says nothing about it.
bool map_code(const CaseTable& table, char32_t code, std::string& out) {
  const CaseExpansion* last = table.expansions + table.expansion_count;
  const CaseExpansion* expansion = std::lower_bound(
      table.expansions, last, code, [](const CaseExpansion& item, char32_t value) { return item.code < value; });
  if (expansion != last && expansion->code == code) {
    for (const uint32_t to : expansion->to) {
      if (to != 0) append_code_point(out, to);
    }
    return true;
  }
  const CaseRun* end = table.runs + table.run_count;
  const CaseRun* after =
      std::upper_bound(table.runs, end, code, [](char32_t value, const CaseRun& run) { return value < run.first; });
  if (after == table.runs) return false;
  const CaseRun& run = *(after - 1);
  if (code > run.last || (code - run.first) % run.stride != 0) return false;
  append_code_point(out, static_cast<char32_t>(static_cast<int64_t>(code) + run.delta));
  return true;
}

void lower_code(char32_t code, std::string& out) {
  if (code < 0x80) {
    out += code >= 'A' && code <= 'Z' ? static_cast<char>(code + 32) : static_cast<char>(code);
  } else if (!map_code(kLowerTable, code, out)) {
    append_code_point(out, code);
  }
}
void upper_code(char32_t code, std::string& out) {
  if (code < 0x80) {
    out += code >= 'a' && code <= 'z' ? static_cast<char>(code - 32) : static_cast<char>(code);
  } else if (!map_code(kUpperTable, code, out)) {
    append_code_point(out, code);
  }
}
void title_code(char32_t code, std::string& out) {
  if (code < 0x80 || !map_code(kTitleTable, code, out)) upper_code(code, out);
}

bool is_cased(char32_t code) { return has(code, kLower | kUpper | kTitle); }

/// Lower case within a text: a sigma at the end of a word has a form of its own (Unicode, SpecialCasing: Final_Sigma).
void lower_at(const std::u32string& codes, size_t at, std::string& out) {
  constexpr char32_t kSigma = 0x3a3, kSmallSigma = 0x3c3, kFinalSigma = 0x3c2;
  if (codes[at] != kSigma) return lower_code(codes[at], out);
  size_t before = at;
  while (before > 0 && has(codes[before - 1], kCaseIgnorable)) --before;
  bool final = before > 0 && is_cased(codes[before - 1]);
  if (final) {
    size_t after = at + 1;
    while (after < codes.size() && has(codes[after], kCaseIgnorable)) ++after;
    final = after == codes.size() || !is_cased(codes[after]);
  }
  append_code_point(out, final ? kFinalSigma : kSmallSigma);
}

}  // namespace

std::string to_lower(std::string_view text) {
  const std::u32string codes = decode(text);
  std::string out;
  for (size_t i = 0; i < codes.size(); ++i) lower_at(codes, i, out);
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out;
  for (const char32_t code : decode(text)) upper_code(code, out);
  return out;
}

std::string to_title(std::string_view text) {
  const std::u32string codes = decode(text);
  std::string out;
  bool previous_cased = false;
  for (size_t i = 0; i < codes.size(); ++i) {
    if (previous_cased) {
      lower_at(codes, i, out);
    } else {
      title_code(codes[i], out);
    }
    previous_cased = is_cased(codes[i]);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  const std::u32string codes = decode(text);
  std::string out;
  for (size_t i = 0; i < codes.size(); ++i) {
    if (i == 0) {
      title_code(codes[i], out);
    } else {
      lower_at(codes, i, out);
    }
  }
  return out;
}

std::string swap_case(std::string_view text) {
  const std::u32string codes = decode(text);
  std::string out;
  for (size_t i = 0; i < codes.size(); ++i) {
    if (has(codes[i], kUpper)) {
      lower_at(codes, i, out);
    } else if (has(codes[i], kLower)) {
      upper_code(codes[i], out);
    } else {
      append_code_point(out, codes[i]);
    }
  }
  return out;
}

std::string fold_case(std::string_view text) {
  std::string out;
  for (const char32_t code : decode(text)) {
    if (!map_code(kFoldTable, code, out)) lower_code(code, out);
  }
  return out;
}

bool is_identifier(std::string_view text) {
  const std::u32string codes = decode(text);
  if (codes.empty() || !has(codes[0], kIdStart)) return false;
  return std::all_of(codes.begin() + 1, codes.end(), [](char32_t code) { return has(code, kIdContinue); });
}

int decimal_value(char32_t code) {
  if (!has(code, kDecimal)) return -1;
  // Decimal digits lie in runs of ten, from zero to nine; some runs follow each other without a gap.
  char32_t first = code;
  while (first > 0 && has(first - 1, kDecimal)) --first;
  return static_cast<int>((code - first) % 10);
}

}  // namespace duet::jinja
