#include <algorithm>

#include "text/jinja/attributes.h"
#include "text/jinja/filter_tables.h"
#include "text/jinja/iterators.h"
#include "text/jinja/operators.h"
#include "text/jinja/printf.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/text_search.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

/// A str as it is, anything else as str(value).
Value soft_text(Runtime& runtime, const Value& value) {
  return value.is_string() ? value : runtime.string(to_text(runtime, value));
}

Value like(Runtime& runtime, const Value& self, std::string text) {
  return runtime.string(std::move(text), self.is_markup());
}

template <std::string (*kFunction)(std::string_view)>
Value map_text(Runtime& runtime, Args& args) {
  const Bound bound(args, "filter", {"s"}, 1);
  const Value text = soft_text(runtime, bound[0]);
  runtime.budget.bytes(static_cast<int64_t>(text.text().size()) * 4);
  return like(runtime, text, kFunction(text.text()));
}

/// Upper case for the first letter of every word; words begin after white space, hyphens and opening brackets.
std::string title_words(std::string_view text) {
  const std::u32string codes = decode(text);
  std::string out;
  size_t start = 0;
  const auto separates = [](char32_t code) {
    return has(code, kSpace) ||
           (code < 0x80 && std::string_view("-({[<").find(static_cast<char>(code)) != std::string_view::npos);
  };
  while (start < codes.size()) {
    size_t end = start;
    while (end < codes.size() && separates(codes[end]) == separates(codes[start])) ++end;
    out += to_upper(encode(std::u32string_view(codes).substr(start, 1)));
    out += to_lower(encode(std::u32string_view(codes).substr(start + 1, end - start - 1)));
    start = end;
  }
  return out;
}

/// Unlike the other filters of letters this one gives plain text for marked text: it joins pieces anew.
Value filter_title(Runtime& runtime, Args& args) {
  const Bound bound(args, "title", {"s"}, 1);
  const Value text = soft_text(runtime, bound[0]);
  runtime.budget.bytes(static_cast<int64_t>(text.text().size()) * 4);
  return runtime.string(title_words(text.text()));
}

Value filter_string(Runtime& runtime, Args& args) {
  const Bound bound(args, "string", {"/object"}, 1);
  return soft_text(runtime, bound[0]);
}

Value filter_trim(Runtime& runtime, Args& args) {
  const Bound bound(args, "trim", {"value", "chars"}, 1);
  const Value text = soft_text(runtime, bound[0]);
  runtime.budget.bytes(static_cast<int64_t>(text.text().size()));
  if (!bound.has_value(1)) return like(runtime, text, std::string(strip_end(strip_start(text.text()))));
  if (!bound[1].is_string()) raise_type("strip arg must be None or str");
  const std::u32string set = decode(bound[1].text());
  runtime.budget.bytes(static_cast<int64_t>(set.size()) * 64);
  return like(runtime, text, std::string(strip_end(strip_start(text.text(), set), set)));
}

Value filter_replace(Runtime& runtime, Args& args) {
  const Bound bound(args, "replace", {"s", "old", "new", "count"}, 3);
  const int64_t limit = bound.has_value(3) ? bound.integer(3, -1) : -1;
  if (!runtime.autoescape) {
    const Value text = runtime.string(to_text(runtime, bound[0]));
    return replace_text(runtime, text, runtime.string(to_text(runtime, bound[1])),
                        runtime.string(to_text(runtime, bound[2])), limit);
  }
  const bool escape = bound[1].is_markup() || (bound[2].is_markup() && !bound[0].is_markup());
  const Value text = escape ? runtime.string(escape_html(runtime, bound[0]), true) : soft_text(runtime, bound[0]);
  return replace_text(runtime, text, soft_text(runtime, bound[1]), soft_text(runtime, bound[2]), limit);
}

Value filter_center(Runtime& runtime, Args& args) {
  const Bound bound(args, "center", {"value", "width"}, 1);
  return center_text(runtime, soft_text(runtime, bound[0]), bound.integer(1, 80), " ");
}

Value filter_format(Runtime& runtime, Args& args) {
  if (args.positional.size() > 1 && !args.keyword.empty()) {
    raise(TemplateErrorKind::kRuntime, "can't handle positional and keyword arguments at the same time");
  }
  const Value text = soft_text(runtime, args.positional[0]);
  if (!args.keyword.empty()) return format_percent(runtime, text, make_keyword_dict(runtime, args));
  return format_percent(runtime, text, runtime.tuple({args.positional.begin() + 1, args.positional.end()}));
}

Value filter_truncate(Runtime& runtime, Args& args) {
  const Bound bound(args, "truncate", {"s", "length", "killwords", "end", "leeway"}, 1);
  const Value end = bound.get(3, runtime.string("..."));
  const int64_t end_length = length_of(runtime, end);
  if (end_length < 0) raise_type("object of type '{}' has no len()", type_name(end));
  const Value length = bound.get(1, Value::integer(255));
  const Value leeway = bound.has_value(4) ? bound[4] : Value::integer(5);
  if (!compare(runtime, CompareOp::kGtEq, length, Value::integer(end_length)))
    raise_type("expected length >= {}, got {}", end_length, to_repr(runtime, length));
  if (!compare(runtime, CompareOp::kGtEq, leeway, Value::integer(0)))
    raise_type("expected leeway >= 0, got {}", to_repr(runtime, leeway));
  const int64_t own_length = length_of(runtime, bound[0]);
  if (own_length < 0) raise_type("object of type '{}' has no len()", type_name(bound[0]));
  const Value longest = binary(runtime, BinaryOp::kAdd, length, leeway);
  if (compare(runtime, CompareOp::kLtEq, Value::integer(own_length), longest)) return bound[0];
  const Value kept = binary(runtime, BinaryOp::kSub, length, Value::integer(end_length));
  Value cut = get_slice(runtime, bound[0], {}, kept, {});
  if (!bound.truth(2, false)) {
    if (!cut.is_string()) raise_type("'{}' object has no attribute 'rsplit'", type_name(cut));
    cut = like(runtime, cut, std::string(rsplit(cut.text(), " ", 1)[0]));
  }
  return binary(runtime, BinaryOp::kAdd, cut, end);
}

Value filter_wordcount(Runtime& runtime, Args& args) {
  const Bound bound(args, "wordcount", {"s"}, 1);
  int64_t words = 0;
  bool inside = false;
  const Value text = soft_text(runtime, bound[0]);
  runtime.budget.bytes(static_cast<int64_t>(text.text().size()) * 4);
  for (const char32_t code : decode(text.text())) {
    const bool word = code == '_' || has(code, kAlpha | kDecimal | kDigit | kNumeric);
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value::integer(words);
}

Value filter_indent(Runtime& runtime, Args& args) {
  const Bound bound(args, "indent", {"s", "width", "first", "blank"}, 1);
  const Value& text = bound[0];
  std::string indention;
  if (bound.has(1) && bound[1].is_string()) {
    indention = bound[1].text();
  } else {
    if (bound.has(1) && bound[1].is_undefined()) fail_undefined(bound[1]);
    if (bound.has(1) && !bound[1].is_integral())
      raise_type("can't multiply sequence by non-int of type '{}'", type_name(bound[1]));
    indention = repeat_text(runtime, " ", bound.integer(1, 4));
  }
  if (text.is_undefined()) fail_undefined(text);
  if (!text.is_string()) raise_type("unsupported operand type(s) for +=: '{}' and 'str'", type_name(text));
  const std::string source = text.text() + "\n";
  const std::vector<std::string_view> lines = split_lines(source, false);
  runtime.budget.items(static_cast<int64_t>(lines.size()));
  int64_t size_bytes = 0;
  if (__builtin_mul_overflow(static_cast<int64_t>(lines.size()), static_cast<int64_t>(indention.size()), &size_bytes))
    size_bytes = INT64_MAX / 2;
  runtime.budget.check_size(size_bytes + static_cast<int64_t>(source.size()));
  std::string out = bound.truth(2, false) ? indention : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (bound.truth(3, false) || !lines[i].empty())) out += indention;
    out += lines[i];
  }
  return like(runtime, text, std::move(out));
}

constexpr Builtin kFilters[] = {
    {"capitalize", map_text<to_capitalized>},
    {"center", filter_center},
    {"format", filter_format},
    {"indent", filter_indent},
    {"lower", map_text<to_lower>},
    {"replace", filter_replace},
    {"string", filter_string},
    {"title", filter_title},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", map_text<to_upper>},
    {"wordcount", filter_wordcount},
};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

}  // namespace duet::jinja
