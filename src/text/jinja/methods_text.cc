#include <algorithm>

#include "text/jinja/attributes.h"
#include "text/jinja/iterators.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/str_format.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

/// A text like `self`: marked if that is.
Value like(Runtime& runtime, const Value& self, std::string text) {
  return runtime.string(std::move(text), self.is_markup());
}
Value like(Runtime& runtime, const Value& self, std::string_view text) {
  return like(runtime, self, std::string(text));
}

Value pieces(Runtime& runtime, const Value& self, const std::vector<std::string_view>& parts) {
  runtime.budget.items(static_cast<int64_t>(parts.size()) * 4);
  runtime.budget.check_size(static_cast<int64_t>(parts.size() * sizeof(Value)));
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.push_back(like(runtime, self, part));
  return runtime.list(std::move(items));
}

template <std::string (*kFunction)(std::string_view)>
Value map_text(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "method", {}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  return like(runtime, self, kFunction(self.text()));
}

/// An argument that becomes a part of the result, a str: marked text escapes it, whatever it is, and what it gives is
/// marked. What is only looked for is not escaped.
Value argument_of(Runtime& runtime, const Value& self, const Bound& bound, size_t index) {
  return self.is_markup() ? runtime.string(escape_html(runtime, bound[index]), true) : bound.text(index);
}

template <bool kStart, bool kEnd>
Value strip(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "strip", {"/chars"}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()));
  std::string_view text = self.text();
  if (bound.has_value(0)) {
    const std::u32string set = decode(bound.text(0).text());
    runtime.budget.bytes(static_cast<int64_t>(set.size()) * 64);
    if (kStart) text = strip_start(text, set);
    if (kEnd) text = strip_end(text, set);
  } else {
    if (kStart) text = strip_start(text);
    if (kEnd) text = strip_end(text);
  }
  return like(runtime, self, text);
}

template <bool kRight>
Value split_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "split", {"sep", "maxsplit"}, 0);
  const int64_t limit = bound.integer(1, -1);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()));
  if (!bound.has_value(0))
    return pieces(runtime, self, kRight ? rsplit_space(self.text(), limit) : split_space(self.text(), limit));
  const std::string& separator = bound.text(0).text();
  if (separator.empty()) raise_type("empty separator");
  return pieces(runtime, self, kRight ? rsplit(self.text(), separator, limit) : split(self.text(), separator, limit));
}

/// text[start:stop] as bytes, for the methods that search in a part; false when the part is empty because start >
/// length.
bool part_of(const String& text, const Bound& bound, size_t first, std::string_view& out, int64_t& start) {
  const auto clamp = [&](size_t index, int64_t absent) {
    if (!bound.has_value(index)) return absent;
    int64_t v = bound[index].is(Type::kBigInt) ? (to_bigint(bound[index]).negative() ? INT64_MIN / 2 : INT64_MAX / 2)
                                               : bound.integer(index, absent);
    if (v < 0) v = std::max<int64_t>(0, std::max(v, INT64_MIN / 2) + text.length);
    return v;
  };
  start = clamp(first, 0);
  const int64_t stop = std::min(clamp(first + 1, text.length), text.length);
  if (start > stop) return false;
  const size_t begin = text.ascii() ? static_cast<size_t>(start) : byte_offset(text.text, start);
  const size_t end = text.ascii() ? static_cast<size_t>(stop) : byte_offset(text.text, stop);
  out = std::string_view(text.text).substr(begin, end - begin);
  return true;
}

template <bool kEnd>
Value affix(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, kEnd ? "endswith" : "startswith", {"/prefix", "/start", "/end"}, 1);
  std::string_view text;
  int64_t start = 0;
  const bool inside = part_of(self.as<String>(), bound, 1, text, start);
  runtime.budget.bytes(bound.has(1) ? static_cast<int64_t>(self.text().size()) : 0);
  const auto fits = [&](const Value& part) {
    if (!part.is_string())
      raise_type("{} first arg must be str or a tuple of str, not {}", kEnd ? "endswith" : "startswith",
                 type_name(part));
    return inside && (kEnd ? text.ends_with(part.text()) : text.starts_with(part.text()));
  };
  if (!bound[0].is(Type::kTuple)) return Value::boolean(fits(bound[0]));
  return Value::boolean(std::any_of(bound[0].items().begin(), bound[0].items().end(), fits));
}

/// Code point index of the match, or -1.
template <bool kLast>
int64_t find_part(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "find", {"/sub", "/start", "/end"}, 1);
  const std::string& part = bound.text(0).text();
  std::string_view text;
  int64_t start = 0;
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()));
  if (!part_of(self.as<String>(), bound, 1, text, start)) return -1;
  const size_t at = kLast ? find_last(text, part) : find_first(text, part);
  if (at == std::string_view::npos) return -1;
  return start + count(text.substr(0, at), "") - 1;
}

template <bool kLast, bool kMust>
Value find_method(Runtime& runtime, const Value& self, Args& args) {
  const int64_t at = find_part<kLast>(runtime, self, args);
  if (at < 0 && kMust) raise_type("substring not found");
  return Value::integer(at);
}

Value count_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "count", {"/sub", "/start", "/end"}, 1);
  std::string_view text;
  int64_t start = 0;
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()));
  const std::string& part = bound.text(0).text();
  if (!part_of(self.as<String>(), bound, 1, text, start)) return Value::integer(0);
  return Value::integer(count(text, part));
}

Value replace_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "replace", {"/old", "/new", "/count"}, 2);
  const Value to = argument_of(runtime, self, bound, 1);
  return replace_text(runtime, self, bound.text(0), to, bound.integer(2, -1));
}

Value join_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "join", {"/iterable"}, 1);
  std::string out;
  bool first = true;
  int64_t index = 0;
  const auto iterator = make_iterator(runtime, bound[0]);
  Value item;
  while (iterator->next(runtime, item)) {
    if (!item.is_string() && !self.is_markup())
      raise_type("sequence item {}: expected str instance, {} found", index, type_name(item));
    if (!first) out += self.text();
    first = false;
    ++index;
    out += self.is_markup() ? escape_html(runtime, item) : item.text();
    runtime.budget.items(1);
    runtime.budget.check_size(static_cast<int64_t>(out.size()));
  }
  return like(runtime, self, std::move(out));
}

template <uint16_t kBits>
Value all_have(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "method", {}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  const std::u32string codes = decode(self.text());
  return Value::boolean(!codes.empty() &&
                        std::all_of(codes.begin(), codes.end(), [](char32_t code) { return has(code, kBits); }));
}

Value is_ascii(Runtime&, const Value& self, Args& args) {
  const Bound bound(args, "isascii", {}, 0);
  return Value::boolean(self.as<String>().ascii());
}

Value is_printable(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "isprintable", {}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  const std::u32string codes = decode(self.text());
  return Value::boolean(std::all_of(codes.begin(), codes.end(), [](char32_t code) { return has(code, kPrintable); }));
}

template <uint16_t kWanted, uint16_t kOther>
Value is_case(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "method", {}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  return Value::boolean(has_case(self.text(), kWanted, kOther));
}

Value is_title(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "istitle", {}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  bool cased = false, previous = false;
  for (const char32_t code : decode(self.text())) {
    if (has(code, kUpper | kTitle)) {
      if (previous) return Value::boolean(false);
      previous = cased = true;
    } else if (has(code, kLower)) {
      if (!previous) return Value::boolean(false);
      cased = true;
    } else {
      previous = false;
    }
  }
  return Value::boolean(cased);
}

Value is_identifier_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "isidentifier", {}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  return Value::boolean(is_identifier(self.text()));
}

enum class Align { kLeft, kRight, kCenter };

template <Align kAlign>
Value justify(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "justify", {"/width", "/fillchar"}, 1);
  std::string fill = " ";
  if (bound.has(1)) {
    const Value given = argument_of(runtime, self, bound, 1);
    if (given.as<String>().length != 1) raise_type("The fill character must be exactly one character long");
    fill = given.text();
  }
  if (kAlign == Align::kCenter) return center_text(runtime, self, bound.integer(0, 0), fill);
  const int64_t pad = std::max<int64_t>(0, bound.integer(0, 0) - self.as<String>().length);
  const std::string filling = repeat_text(runtime, fill, pad);
  return like(runtime, self, kAlign == Align::kLeft ? self.text() + filling : filling + self.text());
}

Value zfill(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "zfill", {"/width"}, 1);
  const int64_t pad = std::max<int64_t>(0, bound.integer(0, 0) - self.as<String>().length);
  const std::string& text = self.text();
  const bool sign = !text.empty() && (text[0] == '+' || text[0] == '-');
  return like(runtime, self, text.substr(0, sign ? 1 : 0) + repeat_text(runtime, "0", pad) + text.substr(sign ? 1 : 0));
}

template <bool kLast>
Value partition(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "partition", {"/sep"}, 1);
  const std::string& separator = bound.text(0).text();
  if (separator.empty()) raise_type("empty separator");
  const std::string_view text = self.text();
  runtime.budget.bytes(static_cast<int64_t>(text.size()));
  const size_t at = kLast ? find_last(text, separator) : find_first(text, separator);
  std::string_view parts[3] = {text, "", ""};
  if (at != std::string_view::npos) {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  } else if (kLast) {
    std::swap(parts[0], parts[2]);
  }
  return runtime.tuple({like(runtime, self, parts[0]), like(runtime, self, parts[1]), like(runtime, self, parts[2])});
}

template <bool kSuffix>
Value remove_affix(Runtime& runtime, const Value& self, Args& args) {
  // The one argument that markupsafe lets be named where str does not.
  const bool named = kSuffix && self.is_markup();
  const Bound bound(args, kSuffix ? "removesuffix" : "removeprefix", {named ? "suffix" : "/affix"}, 1);
  const std::string& affix_text = bound.text(0).text();
  std::string_view text = self.text();
  if (!affix_text.empty() && (kSuffix ? text.ends_with(affix_text) : text.starts_with(affix_text))) {
    text = kSuffix ? text.substr(0, text.size() - affix_text.size()) : text.substr(affix_text.size());
  }
  return like(runtime, self, text);
}

Value expand_tabs(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "expandtabs", {"tabsize"}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  const int64_t size = bound.integer(0, 8);
  std::string out;
  int64_t column = 0;
  for (const char c : self.text()) {
    if (c == '\t') {
      if (size <= 0) continue;
      const int64_t pad = size - column % size;
      out += repeat_text(runtime, " ", pad);
      column += pad;
      runtime.budget.check_size(static_cast<int64_t>(out.size()));
    } else {
      out += c;
      if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++column;
      if (c == '\n' || c == '\r') column = 0;
    }
  }
  return like(runtime, self, std::move(out));
}

Value translate(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "translate", {"/table"}, 1);
  std::string out;
  for (const char32_t code : decode(self.text())) {
    runtime.budget.items(1);
    const Value key = Value::integer(static_cast<int64_t>(code));
    Value to;
    if (bound[0].is(Type::kDict)) {
      const Value* found = bound[0].as<Dict>().find(key);
      if (found != nullptr) to = *found;
    } else if (bound[0].is(Type::kList) || bound[0].is(Type::kTuple) || bound[0].is_string()) {
      if (static_cast<int64_t>(code) < length_of(runtime, bound[0])) to = get_item(runtime, bound[0], key);
    } else if (bound[0].is_undefined()) {
      fail_undefined(bound[0]);
    } else {
      raise_type("'{}' object is not subscriptable", type_name(bound[0]));
    }
    if (to.is_missing()) {
      append_code_point(out, code);
    } else if (to.is_string()) {
      out += to.text();
    } else if (to.is_small_integer()) {
      const int64_t point = to.integer_value();
      if (point < 0 || point > 0x10ffff) raise_type("character mapping must be in range(0x110000)");
      append_code_point(out, static_cast<char32_t>(point));
    } else if (!to.is_none()) {
      raise_type("character mapping must return integer, None or str");
    }
    runtime.budget.check_size(static_cast<int64_t>(out.size()));
  }
  return like(runtime, self, std::move(out));
}

Value make_translation(Runtime& runtime, const Value&, Args& args) {
  const Bound bound(args, "maketrans", {"/x", "/y", "/z"}, 1);
  auto dict = std::make_shared<Dict>();
  if (!bound.has(1)) {
    if (!bound[0].is(Type::kDict)) raise_type("if you give only one argument to maketrans it must be a dict");
    for (const auto& [key, value] : bound[0].as<Dict>().entries()) {
      if (key.is_string() && key.as<String>().length != 1)
        raise_type("string keys in translate table must be of length 1");
      if (!key.is_string() && !key.is_integral()) raise_type("keys in translate table must be strings or integers");
      dict->set(key.is_string() ? Value::integer(static_cast<int64_t>(decode(key.text())[0])) : key, value);
    }
  } else {
    const std::u32string from = decode(bound.text(0).text()), to = decode(bound.text(1).text());
    if (from.size() != to.size()) raise_type("the first two maketrans arguments must have equal length");
    for (size_t i = 0; i < from.size(); ++i) {
      dict->set(Value::integer(static_cast<int64_t>(from[i])), Value::integer(static_cast<int64_t>(to[i])));
    }
    if (bound.has(2)) {
      for (const char32_t code : decode(bound.text(2).text()))
        dict->set(Value::integer(static_cast<int64_t>(code)), Value::none());
    }
  }
  dict->seal(runtime.budget);
  return Value(Type::kDict, std::move(dict));
}

Value split_lines_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "splitlines", {"keepends"}, 0);
  runtime.budget.bytes(static_cast<int64_t>(self.text().size()) * 4);
  return pieces(runtime, self, split_lines(self.text(), bound.integer(0, 0) != 0));
}

const MethodEntry kMethods[] = {
    {"capitalize", map_text<to_capitalized>},
    {"casefold", map_text<fold_case>},
    {"center", justify<Align::kCenter>},
    {"count", count_method},
    {"encode", encode_text},
    {"endswith", affix<true>},
    {"expandtabs", expand_tabs},
    {"find", find_method<false, false>},
    {"format", format_method},
    {"format_map", format_map_method},
    {"index", find_method<false, true>},
    {"isalnum", all_have<kAlpha | kDecimal | kDigit | kNumeric>},
    {"isalpha", all_have<kAlpha>},
    {"isascii", is_ascii},
    {"isdecimal", all_have<kDecimal>},
    {"isdigit", all_have<kDigit>},
    {"isidentifier", is_identifier_method},
    {"islower", is_case<kLower, kUpper | kTitle>},
    {"isnumeric", all_have<kNumeric>},
    {"isprintable", is_printable},
    {"isspace", all_have<kSpace>},
    {"istitle", is_title},
    {"isupper", is_case<kUpper, kLower | kTitle>},
    {"join", join_method},
    {"ljust", justify<Align::kLeft>},
    {"lower", map_text<to_lower>},
    {"lstrip", strip<true, false>},
    {"maketrans", make_translation},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace_method},
    {"rfind", find_method<true, false>},
    {"rindex", find_method<true, true>},
    {"rjust", justify<Align::kRight>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip<false, true>},
    {"split", split_method<false>},
    {"splitlines", split_lines_method},
    {"startswith", affix<false>},
    {"strip", strip<true, true>},
    {"swapcase", map_text<swap_case>},
    {"title", map_text<to_title>},
    {"translate", translate},
    {"upper", map_text<to_upper>},
    {"zfill", zfill},
};

}  // namespace

bool has_case(std::string_view text, uint16_t wanted, uint16_t other) {
  bool found = false;
  for (const char32_t code : decode(text)) {
    if (has(code, other)) return false;
    found = found || has(code, wanted);
  }
  return found;
}

std::string repeat_text(Runtime& runtime, std::string_view unit, int64_t times) {
  int64_t size_bytes = 0;
  if (__builtin_mul_overflow(static_cast<int64_t>(unit.size()), std::max<int64_t>(0, times), &size_bytes))
    size_bytes = INT64_MAX;
  runtime.budget.check_size(size_bytes);
  runtime.budget.bytes(size_bytes);
  std::string out;
  for (int64_t i = 0; i < times; ++i) out += unit;
  return out;
}

Value center_text(Runtime& runtime, const Value& text, int64_t width, std::string_view fill) {
  const int64_t pad = std::max<int64_t>(0, width - text.as<String>().length);
  const int64_t left = pad / 2 + (pad & width & 1);  // Python's rule for odd widths
  std::string out = repeat_text(runtime, fill, left);
  out += text.text();
  out += repeat_text(runtime, fill, pad - left);
  return like(runtime, text, std::move(out));
}

Value replace_text(Runtime& runtime, const Value& text, const Value& from, const Value& to, int64_t limit) {
  runtime.budget.bytes(static_cast<int64_t>(text.text().size()));
  int64_t times = count(text.text(), from.text());
  if (limit >= 0) times = std::min(times, limit);
  const std::string with = text.is_markup() ? escape_html(runtime, to) : to.text();
  int64_t growth = 0;
  if (__builtin_mul_overflow(times, static_cast<int64_t>(with.size()), &growth)) growth = INT64_MAX / 2;
  runtime.budget.check_size(growth + static_cast<int64_t>(text.text().size()) -
                            times * static_cast<int64_t>(from.text().size()));
  return like(runtime, text, replace(text.text(), from.text(), with, limit));
}

Value text_method(Runtime& runtime, const Value& text, std::string_view name) {
  if (text.is_markup()) {
    if (Value method = markup_method(runtime, text, name); !method.is_missing()) return method;
  }
  return bound_method(runtime, text, name, kMethods);
}

}  // namespace duet::jinja
