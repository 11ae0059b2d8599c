#include "text/pretokenize.h"

#include <array>
#include <utility>

#include "base/utf8.h"
#include "text/unicode.h"

namespace duet {
namespace {

constexpr std::array<std::pair<SplitPattern, std::string_view>, 5> kPatterns = {{
    {SplitPattern::kGpt2, R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {SplitPattern::kLlama3,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {SplitPattern::kQwen2,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {SplitPattern::kQwen35,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {SplitPattern::kLlama4,
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
     R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
     R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
}};

/// A character of the text: where it ends, and what it is.
struct Character {
  char32_t code;
  uint8_t classes;
  size_t end;
};

class Matcher {
 public:
  explicit Matcher(std::string_view text) : text_(text), classes_(character_class_tables()) {}

  bool at_end(size_t i) const { return i >= text_.size(); }
  /// Precondition: !at_end(i). The text is valid, so a first byte says how many follow.
  Character at(size_t i) const {
    const unsigned lead = byte(i);
    if (lead < 0x80) return {lead, classes_.blocks[classes_.index[0] * CharacterClassTables::kBlock + lead], i + 1};
    const auto next = [&](size_t k) { return byte(i + k) & 0x3fU; };
    char32_t code;
    size_t length;
    if (lead < 0xe0) {
      code = (lead & 0x1fU) << 6 | next(1), length = 2;
    } else if (lead < 0xf0) {
      code = (lead & 0x0fU) << 12 | next(1) << 6 | next(2), length = 3;
    } else {
      code = (lead & 0x07U) << 18 | next(1) << 12 | next(2) << 6 | next(3), length = 4;
    }
    return {code, classes_(code), i + length};
  }
  static bool is(const Character& c, unsigned classes) { return (c.classes & classes) != 0; }
  static bool is_newline(const Character& c) { return c.code == '\r' || c.code == '\n'; }

  /// End of the run of characters with one of `classes` from `i`; `i` itself when there is none.
  size_t run_of(unsigned classes, size_t i) const {
    while (!at_end(i)) {
      const Character c = at(i);
      if (!is(c, classes)) break;
      i = c.end;
    }
    return i;
  }
  /// End of the run of characters with none of `classes`.
  size_t run_without(unsigned classes, size_t i) const {
    while (!at_end(i)) {
      const Character c = at(i);
      if (is(c, classes)) break;
      i = c.end;
    }
    return i;
  }
  size_t newlines(size_t i, bool slashes = false) const {
    while (!at_end(i) && (text_[i] == '\r' || text_[i] == '\n' || (slashes && text_[i] == '/'))) ++i;
    return i;
  }

  /// 's 't 're 've 'm 'll 'd at `i`; its end, or `i`. `any_case` also takes U+017F, which folds to s.
  size_t contraction(size_t i, bool any_case) const {
    if (at_end(i) || text_[i] != '\'') return i;
    const auto letter = [&](size_t k) -> char {
      if (at_end(k)) return '\0';
      const char c = text_[k];
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    if (any_case && text_.substr(i + 1, 2) == "\xc5\xbf") return i + 3;
    const char first = letter(i + 1), second = letter(i + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return i + 2;
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
      return i + 3;
    return i;
  }

  /// \s+(?!\S)|\s+ from a white space at `i`, where `end` is the end of the run: all of it at the end of the text, else
  /// all but the last character unless it is the only one.
  size_t spaces(size_t i, size_t end) const {
    if (at_end(end)) return end;
    size_t last = end - 1;
    while (is_continuation(text_[last])) --last;
    return last > i ? last : end;
  }

  /// \s*[\r\n]+|\s+(?!\S)|\s+ from a white space at `i`: up to the last newline of the run if it has one.
  size_t spaces_and_newlines(size_t i) const {
    size_t after_newline = i, end = i;
    while (!at_end(end)) {
      const Character c = at(end);
      if (!is(c, kSpace)) break;
      end = c.end;
      if (is_newline(c)) after_newline = end;
    }
    return after_newline > i ? after_newline : spaces(i, end);
  }

 private:
  static bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

  unsigned byte(size_t i) const { return static_cast<unsigned char>(text_[i]); }

  std::string_view text_;
  CharacterClassTables classes_;
};

size_t gpt2_end(const Matcher& m, size_t begin) {
  if (const size_t end = m.contraction(begin, false); end > begin) return end;
  const Character first = m.at(begin);
  // " ?X+": the space goes to the run behind it.
  const size_t start = first.code == ' ' && !m.at_end(first.end) ? first.end : begin;
  const Character c = m.at(start);
  if (Matcher::is(c, kLetter)) return m.run_of(kLetter, c.end);
  if (Matcher::is(c, kNumber)) return m.run_of(kNumber, c.end);
  if (!Matcher::is(c, kSpace)) return m.run_without(kSpace | kLetter | kNumber, c.end);
  return m.spaces(begin, m.run_of(kSpace, begin));
}

/// What Llama 3, Qwen2 and Qwen3.5 have in common; a word is made of `letters`, at most `digits` numbers stand
/// together.
size_t llama3_end(const Matcher& m, size_t begin, unsigned letters, int digits) {
  if (const size_t end = m.contraction(begin, true); end > begin) return end;
  const Character first = m.at(begin);
  if (Matcher::is(first, letters)) return m.run_of(letters, first.end);
  if (Matcher::is(first, kNumber)) {
    size_t end = first.end;
    for (int i = 1; i < digits && !m.at_end(end); ++i) {
      const Character c = m.at(end);
      if (!Matcher::is(c, kNumber)) break;
      end = c.end;
    }
    return end;
  }
  if (!Matcher::is_newline(first) && !m.at_end(first.end)) {
    if (const size_t end = m.run_of(letters, first.end); end > first.end) return end;
  }
  const size_t start = first.code == ' ' && !m.at_end(first.end) ? first.end : begin;
  if (!Matcher::is(m.at(start), kSpace | letters | kNumber)) {
    return m.newlines(m.run_without(kSpace | letters | kNumber, start));
  }
  return m.spaces_and_newlines(begin);
}

/// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ from `i`; `i` when it does not match.
size_t llama4_mixed_word(const Matcher& m, size_t i) {
  size_t upper = i, caseless = i;
  while (!m.at_end(upper)) {
    const Character c = m.at(upper);
    if (!Matcher::is(c, kUpperLike)) break;
    upper = c.end;
    if (Matcher::is(c, kLowerLike)) caseless = c.end;
  }
  const size_t lower = m.run_of(kLowerLike, upper);
  // Without a lower-case letter the first class gives back until the second has one character: the last caseless one.
  return lower > upper ? lower : caseless;
}

size_t llama4_end(const Matcher& m, size_t begin) {
  const Character first = m.at(begin);
  const bool optional = !Matcher::is_newline(first) && !Matcher::is(first, kLetter | kNumber);
  size_t word = begin;
  const auto take = [&](size_t from, size_t end) {
    if (word == begin && end > from) word = end;
  };
  // A mark can be the optional character in front or the first of the word: the order of these four matters.
  if (optional) take(first.end, llama4_mixed_word(m, first.end));
  if (word == begin) take(begin, llama4_mixed_word(m, begin));
  if (word == begin && optional) take(first.end, m.run_of(kUpperLike, first.end));
  if (word == begin) take(begin, m.run_of(kUpperLike, begin));
  if (word > begin) return m.contraction(word, true);
  if (Matcher::is(first, kNumber)) {
    size_t end = first.end;
    for (int i = 1; i < 3 && !m.at_end(end); ++i) {
      const Character c = m.at(end);
      if (!Matcher::is(c, kNumber)) break;
      end = c.end;
    }
    return end;
  }
  const size_t start = first.code == ' ' && !m.at_end(first.end) ? first.end : begin;
  if (!Matcher::is(m.at(start), kSpace | kLetter | kNumber)) {
    return m.newlines(m.run_without(kSpace | kLetter | kNumber, start), true);
  }
  return m.spaces_and_newlines(begin);
}

}  // namespace

std::string_view split_pattern_text(SplitPattern pattern) {
  for (const auto& [known, text] : kPatterns) {
    if (known == pattern) return text;
  }
  return {};
}

std::optional<SplitPattern> split_pattern_from_text(std::string_view text) {
  for (const auto& [known, pattern] : kPatterns) {
    if (pattern == text) return known;
  }
  return std::nullopt;
}

namespace {

template <typename End>
size_t fill(const Matcher& matcher, size_t begin, std::span<size_t> ends, End end_of) {
  size_t count = 0;
  while (count < ends.size() && !matcher.at_end(begin)) ends[count++] = begin = end_of(matcher, begin);
  return count;
}

size_t digits_end(const Matcher& m, size_t begin, bool runs) {
  const Character first = m.at(begin);
  if (!Matcher::is(first, kNumber)) return m.run_without(kNumber, first.end);
  return runs ? m.run_of(kNumber, first.end) : first.end;
}

}  // namespace

size_t match_ends(SplitPattern pattern, std::string_view text, size_t begin, std::span<size_t> ends) {
  const Matcher matcher(text);
  switch (pattern) {
    case SplitPattern::kGpt2:
      return fill(matcher, begin, ends, gpt2_end);
    case SplitPattern::kLlama3:
      return fill(matcher, begin, ends, [](const Matcher& m, size_t i) { return llama3_end(m, i, kLetter, 3); });
    case SplitPattern::kQwen2:
      return fill(matcher, begin, ends, [](const Matcher& m, size_t i) { return llama3_end(m, i, kLetter, 1); });
    case SplitPattern::kQwen35:
      return fill(matcher, begin, ends,
                  [](const Matcher& m, size_t i) { return llama3_end(m, i, kLetter | kMark, 1); });
    case SplitPattern::kLlama4:
      return fill(matcher, begin, ends, llama4_end);
  }
  return 0;
}

size_t match_end(SplitPattern pattern, std::string_view text, size_t begin) {
  size_t end = text.size();
  match_ends(pattern, text, begin, std::span(&end, 1));
  return end;
}

size_t PreTokenizer::Run::ends(size_t begin, std::span<size_t> out) {
  switch (step.kind) {
    case Kind::kPattern:
      return match_ends(step.pattern, text, begin, out);
    case Kind::kRegex:
      return step.regex->ends(text, begin, out, regex_state);
    case Kind::kDigits:
    case Kind::kDigitRuns:
    case Kind::kPrefixSpace:
      break;
  }
  return fill(Matcher(text), begin, out,
              [&](const Matcher& m, size_t i) { return digits_end(m, i, step.kind == Kind::kDigitRuns); });
}

}  // namespace duet
