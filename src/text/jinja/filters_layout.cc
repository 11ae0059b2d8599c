#include <algorithm>
#include <cmath>

#include "text/jinja/filter_tables.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

// wordwrap is Python's textwrap.wrap() on each line: a line is cut into chunks (white space, words, parts of hyphenated
// words), and chunks are packed into rows.

constexpr uint16_t kWordClasses = kAlpha | kDecimal | kDigit | kNumeric;

bool is_blank(char32_t code) {
  return code == '\t' || code == '\n' || code == '\v' || code == '\f' || code == '\r' || code == ' ';
}
bool is_word(char32_t code) { return code == '_' || has(code, kWordClasses); }
bool is_letter(char32_t code) { return is_word(code) && !has(code, kDecimal); }
bool is_word_or_mark(char32_t code) {
  return is_word(code) ||
         (code < 0x80 && std::string_view("!\"'&.,?").find(static_cast<char>(code)) != std::string_view::npos);
}

/// Cuts a line where textwrap's expression `wordsep_re` does.
class ChunkCutter {
 public:
  ChunkCutter(std::u32string_view text, bool at_hyphens) : text_(text), at_hyphens_(at_hyphens) {}

  std::vector<std::u32string_view> cut() {
    std::vector<std::u32string_view> chunks;
    for (size_t begin = 0; begin < text_.size();) {
      const size_t end = chunk_end(begin);
      chunks.push_back(text_.substr(begin, end - begin));
      begin = end;
    }
    return chunks;
  }

 private:
  size_t chunk_end(size_t begin) {
    size_t end = begin + 1;
    if (is_blank(text_[begin])) {
      while (end < text_.size() && is_blank(text_[end])) ++end;
      return end;
    }
    if (at_hyphens_ && begin > 0 && is_dash_between_words(begin)) return dash_end_;
    for (; end < text_.size() && !is_blank(text_[end]); ++end) {
      if (!at_hyphens_) continue;
      if (is_hyphen_inside_word(end)) return end + 1;
      if (is_dash_between_words(end)) return end;
    }
    return end;
  }

  /// Two or more hyphens from `at` to the next word, after a word or its punctuation mark.
  bool is_dash_between_words(size_t at) {
    if (text_[at] != '-' || !is_word_or_mark(text_[at - 1])) return false;
    if (dash_end_ <= at) {  // remembered, so that a long row of hyphens is counted once
      dash_end_ = at;
      while (dash_end_ < text_.size() && text_[dash_end_] == '-') ++dash_end_;
    }
    return dash_end_ - at >= 2 && dash_end_ < text_.size() && is_word(text_[dash_end_]);
  }

  /// A hyphen with two letters (or a letter, a hyphen and a letter) on both sides.
  bool is_hyphen_inside_word(size_t at) const {
    const auto letter = [&](size_t i) { return i < text_.size() && is_letter(text_[i]); };
    const auto hyphen = [&](size_t i) { return i < text_.size() && text_[i] == '-'; };
    if (!hyphen(at)) return false;
    const bool after = letter(at + 1) && (letter(at + 2) || (hyphen(at + 2) && letter(at + 3)));
    if (!after) return false;
    return (at >= 2 && letter(at - 2) && letter(at - 1)) ||
           (at >= 3 && letter(at - 3) && hyphen(at - 2) && is_word_or_mark(text_[at - 1]));
  }

  std::u32string_view text_;
  bool at_hyphens_;
  size_t dash_end_ = 0;
};

struct WrapOptions {
  size_t width = 79;
  bool fractional = false;  // the width was a float: it compares, but cannot cut a word
  bool break_long_words = true;
  bool break_on_hyphens = true;
};

bool is_space(std::u32string_view text) {
  return std::all_of(text.begin(), text.end(), [](char32_t code) { return has(code, kSpace); });
}

/// How much of a word that fits no row goes into the `space_left` of this one.
size_t long_word_cut(std::u32string_view word, size_t space_left, const WrapOptions& options) {
  if (!options.break_on_hyphens || space_left == 0) return space_left;
  const size_t hyphen = word.substr(0, space_left).rfind('-');
  if (hyphen == std::u32string_view::npos || word.substr(0, hyphen).find_first_not_of('-') == std::u32string_view::npos)
    return space_left;
  return hyphen + 1;
}

/// Packs chunks into rows as TextWrapper._wrap_chunks does.
std::vector<std::u32string> pack_rows(Runtime& runtime, const std::vector<std::u32string_view>& chunks,
                                      const WrapOptions& options) {
  std::vector<std::u32string> rows;
  std::u32string_view rest;  // what is left of the chunk at `next`
  size_t next = 0;
  const auto more = [&] { return next < chunks.size(); };
  const auto advance = [&] {
    ++next;
    rest = more() ? chunks[next] : std::u32string_view();
  };
  if (more()) rest = chunks[0];
  while (more()) {
    runtime.budget.items(4);
    std::vector<std::u32string_view> row;
    size_t length = 0;
    if (!rows.empty() && is_space(rest)) advance();
    for (; more() && rest.size() <= options.width - length; advance()) {
      row.push_back(rest);
      length += rest.size();
    }
    if (more() && rest.size() > options.width) {
      if (options.break_long_words) {
        if (options.fractional && options.width >= 1) {
          raise_type("slice indices must be integers or None or have an __index__ method");
        }
        const size_t space_left = options.width < 1 ? 1 : options.width - length;
        const size_t end = long_word_cut(rest, space_left, options);
        row.push_back(rest.substr(0, end));
        rest.remove_prefix(end);
      } else if (row.empty()) {
        row.push_back(rest);
        advance();
      }
    }
    // Only the last chunk goes, even where it is the empty head of a long word: as in Python, the blank before stays.
    if (!row.empty() && is_space(row.back())) row.pop_back();
    if (row.empty()) continue;
    std::u32string& text = rows.emplace_back();
    for (const std::u32string_view chunk : row) text += chunk;
  }
  return rows;
}

WrapOptions wrap_options(const Bound& bound) {
  WrapOptions options;
  options.break_long_words = bound.truth(2, true);
  options.break_on_hyphens = bound.truth(4, true);
  if (!bound.has(1)) return options;
  const Value& width = bound[1];
  if (width.is_undefined()) fail_undefined(width);
  if (!width.is_number()) raise_type("'<=' not supported between instances of '{}' and 'int'", type_name(width));
  const double number = to_double(width);
  if (!(number > 0)) raise_type("invalid width {} (must be > 0)", number);
  constexpr double kWidest = 1 << 30;  // beyond any text
  options.width = static_cast<size_t>(std::floor(std::min(number, kWidest)));
  options.fractional = width.is(Type::kFloat);
  return options;
}

Value filter_wordwrap(Runtime& runtime, Args& args) {
  const Bound bound(args, "wordwrap", {"s", "width", "break_long_words", "wrapstring", "break_on_hyphens"}, 1);
  std::string separator = "\n";
  bool markup = false, bytes = false;
  if (bound.has_value(3)) {
    const Value& wrapstring = bound[3];
    if (wrapstring.is_undefined()) fail_undefined(wrapstring);
    bytes = wrapstring.is(Type::kBytes);  // these can join nothing but the no rows of an empty line
    if (!wrapstring.is_string() && !bytes) raise_type("'{}' object has no attribute 'join'", type_name(wrapstring));
    separator = bytes ? wrapstring.as<Bytes>().bytes : wrapstring.text();
    markup = wrapstring.is_markup();  // a marked separator escapes what it joins
  }
  const auto made = [&](std::string out) {
    return bytes ? make_object<Bytes>(Type::kBytes, &runtime.budget, std::move(out))
                 : runtime.string(std::move(out), markup);
  };
  if (bound[0].is_undefined()) fail_undefined(bound[0]);
  if (bound[0].is(Type::kBytes)) {
    if (!bound[0].as<Bytes>().bytes.empty()) raise_type("cannot use a string pattern on a bytes-like object");
    return made("");  // no line, so that nothing is ever wrapped
  }
  if (!bound[0].is_string()) raise_type("'{}' object has no attribute 'splitlines'", type_name(bound[0]));
  const std::string& text = bound[0].text();
  runtime.budget.bytes(static_cast<int64_t>(text.size()) * 16);
  const std::vector<std::string_view> lines = split_lines(text, false);
  if (lines.empty()) return made("");
  const WrapOptions options = wrap_options(bound);
  // textwrap takes the expression with hyphens only for True itself, while long words are cut for any true value.
  const bool at_hyphens = !bound.has(4) || (bound[4].is(Type::kBool) && options.break_on_hyphens);
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += separator;
    const std::u32string line = decode(lines[i]);
    const std::vector<std::u32string> rows = pack_rows(runtime, ChunkCutter(line, at_hyphens).cut(), options);
    if (bytes && !rows.empty()) raise_type("sequence item 0: expected a bytes-like object, str found");
    for (size_t row = 0; row < rows.size(); ++row) {
      if (row > 0) out += separator;
      out += markup ? escape_html_text(encode(rows[row])) : encode(rows[row]);
      runtime.budget.check_size(static_cast<int64_t>(out.size()));
    }
  }
  return made(std::move(out));
}

constexpr Builtin kFilters[] = {
    {"pprint", filter_pprint},
    {"tojson", filter_tojson},
    {"wordwrap", filter_wordwrap},
};

}  // namespace

std::span<const Builtin> layout_filters() { return kFilters; }

}  // namespace duet::jinja
