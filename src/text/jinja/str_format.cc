#include "text/jinja/str_format.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/attributes.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/printf.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

/// [[fill]align][sign][z][#][0][width][grouping][.precision][type]
struct Spec {
  char32_t fill = ' ';
  char32_t align = 0;  // < > = ^, 0: not given
  char32_t sign = 0;   // 0: none was given
  bool alternate = false, no_negative_zero = false;
  int64_t width = 0;
  char32_t grouping = 0;  // , or _
  int64_t precision = -1;
  char32_t type = 0;
};

bool is_align(char32_t c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

int64_t spec_number(const std::u32string& text, size_t& at, const char* what) {
  int64_t value = 0;
  while (at < text.size() && decimal_value(text[at]) >= 0) {
    if (value > INT64_MAX / 20) raise_type("Too many decimal digits in format string");
    value = value * 10 + decimal_value(text[at++]);
  }
  if (value > INT32_MAX) raise_limit("{} {} is too large", what, value);
  return value;
}

Spec parse_spec(const std::string& text, const Value& value) {
  const std::u32string codes = decode(text);
  Spec spec;
  size_t at = 0;
  const auto next_is = [&](char32_t c) { return at < codes.size() && codes[at] == c; };
  bool fill_given = false;
  if (codes.size() > 1 && is_align(codes[1])) {
    spec.fill = codes[0];
    spec.align = codes[1];
    fill_given = true;
    at = 2;
  } else if (!codes.empty() && is_align(codes[0])) {
    spec.align = codes[0];
    at = 1;
  }
  if (next_is('+') || next_is('-') || next_is(' ')) spec.sign = codes[at++];
  if (next_is('z')) {
    spec.no_negative_zero = true;
    ++at;
  }
  if (next_is('#')) {
    spec.alternate = true;
    ++at;
  }
  if (!fill_given && next_is('0')) {
    spec.fill = '0';
    if (spec.align == 0 && value.is_number()) spec.align = '=';
    ++at;
  }
  spec.width = spec_number(codes, at, "width");
  if (next_is(',') || next_is('_')) {
    spec.grouping = codes[at++];
    if (next_is(',') || next_is('_')) raise_type("Cannot specify both ',' and '_'.");
  }
  if (next_is('.')) {
    ++at;
    if (at >= codes.size() || decimal_value(codes[at]) < 0) raise_type("Format specifier missing precision");
    spec.precision = spec_number(codes, at, "precision");
  }
  if (codes.size() - at > 1) raise_type("Invalid format specifier");
  if (at < codes.size()) spec.type = codes[at];
  if (spec.grouping != 0 && spec.type != 0) {
    const std::u32string_view kinds = spec.grouping == '_' ? U"defgEG%FboxX" : U"defgEG%F";
    if (kinds.find(spec.type) == std::u32string_view::npos) {
      std::string type;
      append_code_point(type, spec.type);
      raise_type("Cannot specify '{}' with '{}'.", static_cast<char>(spec.grouping), type);
    }
  }
  return spec;
}

std::string group(const std::string& digits, char32_t separator, size_t size) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % size == 0) out += static_cast<char>(separator);
    out += digits[i];
  }
  return out;
}

std::string padded(Runtime& runtime, const Spec& spec, const std::string& prefix, const std::string& body,
                   char32_t default_align) {
  const int64_t length = static_cast<int64_t>(decode(prefix).size() + decode(body).size());
  const int64_t pad = std::max<int64_t>(0, spec.width - length);
  std::string fill;
  append_code_point(fill, spec.fill);
  switch (spec.align != 0 ? spec.align : default_align) {
    case '<':
      return prefix + body + repeat_text(runtime, fill, pad);
    case '^':
      return repeat_text(runtime, fill, pad / 2) + prefix + body + repeat_text(runtime, fill, pad - pad / 2);
    case '=':
      return prefix + repeat_text(runtime, fill, pad) + body;
    default:
      return repeat_text(runtime, fill, pad) + prefix + body;
  }
}

/// Digits with separators; with a fill of zeros in front, the zeros are grouped as well.
std::string number_text(Runtime& runtime, const Spec& spec, const std::string& prefix, std::string whole,
                        const std::string& rest, size_t group_size) {
  if (spec.grouping != 0) {
    if (spec.fill == '0' && spec.align == '=') {
      const int64_t room = spec.width - static_cast<int64_t>(prefix.size() + rest.size());
      runtime.budget.check_size(room);
      std::string zeros;
      while (static_cast<int64_t>(group(zeros + whole, spec.grouping, group_size).size()) < room) {
        zeros += '0';
        runtime.budget.items(static_cast<int64_t>(zeros.size()));
      }
      whole = zeros + whole;
    }
    whole = group(whole, spec.grouping, group_size);
  }
  return padded(runtime, spec, prefix, whole + rest, '>');
}

std::string sign_text(const Spec& spec, bool negative) {
  return negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
}

[[noreturn]] void unknown_code(const Spec& spec, const Value& value) {
  std::string code;
  append_code_point(code, spec.type);
  raise_type("Unknown format code '{}' for object of type '{}'", code, type_name(value));
}

std::string format_text(Runtime& runtime, const Value& value, const Spec& spec) {
  if (spec.type != 0 && spec.type != 's') unknown_code(spec, value);
  if (spec.sign != 0 || spec.no_negative_zero) raise_type("Sign not allowed in string format specifier");
  if (spec.alternate) raise_type("Alternate form (#) not allowed in string format specifier");
  if (spec.align == '=') raise_type("'=' alignment not allowed in string format specifier");
  if (spec.grouping != 0) raise_type("Cannot specify ',' with 's'.");
  std::string body = value.text();
  if (spec.precision >= 0) body.resize(byte_offset(body, spec.precision));
  return padded(runtime, spec, "", body, '<');
}

std::string format_float(Runtime& runtime, double value, const Spec& spec) {
  const char32_t type = spec.type;
  NumberStyle style{.type = static_cast<char>(type == 0 || type == 'n' ? 'g'
                                              : type == '%'            ? 'f'
                                                                       : type),
                    .precision = spec.precision < 0 ? 6 : spec.precision,
                    .alternate = spec.alternate};
  runtime.budget.check_size(std::max(spec.precision, spec.width));
  if (type == '%') value *= 100;
  if (type == 0 && spec.precision < 0) style.type = 'r';
  std::string body = format_double(value, style);
  if (type == 0 && spec.precision >= 0 && std::isfinite(value)) {
    // As 'g', but with at least one digit after the point, and exponents from one digit earlier (CPython, 'r' with
    // precision).
    const int64_t precision = std::max<int64_t>(1, spec.precision);
    const std::string scientific =
        format_double(value, {.type = 'e', .precision = precision - 1, .alternate = spec.alternate});
    const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
    if (exponent >= -4 && exponent < precision - 1) {
      body = format_double(value, {.type = 'g', .precision = precision, .alternate = spec.alternate});
      if (body.find('.') == std::string::npos) body += ".0";
    } else {
      const size_t e = scientific.find('e');
      std::string mantissa = scientific.substr(0, e);
      if (mantissa.find('.') != std::string::npos && !spec.alternate) {
        while (mantissa.back() == '0') mantissa.pop_back();
        if (mantissa.back() == '.') mantissa.pop_back();
      }
      body = mantissa + scientific.substr(e);
    }
  }
  bool negative = std::signbit(value) && !std::isnan(value);
  if (spec.no_negative_zero && negative && body.find_first_of("123456789") == std::string::npos && std::isfinite(value))
    negative = false;
  const size_t end = std::isfinite(value) ? std::min(body.find_first_not_of("0123456789"), body.size()) : body.size();
  std::string rest = body.substr(end);
  if (type == '%') rest += '%';
  return number_text(runtime, spec, sign_text(spec, negative), body.substr(0, end), rest, 3);
}

std::string format_integer(Runtime& runtime, const Value& value, const Spec& spec) {
  const char32_t type = spec.type == 0 ? 'd' : spec.type;
  if (std::u32string_view(U"eEfFgG%").find(type) != std::u32string_view::npos)
    return format_float(runtime, float_of(value), spec);
  if (std::u32string_view(U"bcdnoxX").find(type) == std::u32string_view::npos) unknown_code(spec, value);
  if (spec.precision >= 0) raise_type("Precision not allowed in integer format specifier");
  if (spec.no_negative_zero) raise_type("Negative zero coercion (z) not allowed in format specifier with integer");
  const BigInt whole = to_bigint(value);
  if (type == 'c') {
    if (spec.sign != 0) raise_type("Sign not allowed with integer format specifier 'c'");
    if (spec.alternate) raise_type("Alternate form (#) not allowed with integer format specifier 'c'");
    if (whole.negative() || !whole.fits_int64() || whole.to_int64() > 0x10ffff)
      raise_limit("%c arg not in range(0x110000)");
    std::string body;
    append_code_point(body, static_cast<char32_t>(whole.to_int64()));
    return padded(runtime, spec, "", body, '<');
  }
  const int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  if (base == 10) integer_text(value);  // checks the number of digits
  runtime.budget.bytes(whole.bits() * 2);
  std::string digits = (whole.negative() ? -whole : whole).to_string(base);
  std::string prefix = sign_text(spec, whole.negative());
  if (spec.alternate && base != 10) prefix += std::string("0") + static_cast<char>(type);
  if (type == 'X') digits = to_upper(digits);
  return number_text(runtime, spec, prefix, digits, "", base == 10 ? 3 : 4);
}

/// string.Formatter.vformat as the sandbox uses it.
class Formatter {
 public:
  Formatter(Runtime& runtime, const Value& self, const std::vector<Value>& positional, const Value& named)
      : runtime_(runtime), markup_(self.is_markup()), positional_(positional), named_(named) {}

  std::string run(std::string_view text, int depth) {
    if (depth < 0) raise_type("Max string recursion exceeded");
    std::string out;
    size_t at = 0;
    while (at < text.size()) {
      runtime_.budget.items(1);
      const char c = text[at];
      if (c != '{' && c != '}') {
        out += c;
        ++at;
      } else if (at + 1 < text.size() && text[at + 1] == c) {
        out += c;
        at += 2;
      } else if (c == '}') {
        raise_type("Single '}}' encountered in format string");
      } else {
        const size_t end = field_end(text, at + 1);
        out += field(text.substr(at + 1, end - at - 1), depth);
        at = end + 1;
      }
      runtime_.budget.check_size(static_cast<int64_t>(out.size()));
    }
    return out;
  }

 private:
  static size_t field_end(std::string_view text, size_t at) {
    if (at >= text.size()) raise_type("Single '{{' encountered in format string");
    int depth = 1;
    bool bracket = false;
    for (; at < text.size(); ++at) {
      if (bracket) {
        bracket = text[at] != ']';
        continue;
      }
      if (text[at] == '[') bracket = true;
      if (text[at] == '{') ++depth;
      if (text[at] == '}' && --depth == 0) return at;
    }
    raise_type("expected '}}' before end of string");
  }

  std::string field(std::string_view text, int depth) {
    size_t name_end = 0;
    bool bracket = false;
    while (name_end < text.size() && (bracket || (text[name_end] != '!' && text[name_end] != ':'))) {
      if (text[name_end] == '{' && !bracket) raise_type("unexpected '{{' in field name");
      if (text[name_end] == '[') bracket = true;
      if (text[name_end] == ']') bracket = false;
      ++name_end;
    }
    std::string_view rest = text.substr(name_end);
    char conversion = 0;
    if (rest.starts_with('!')) {
      if (rest.size() < 2) raise_type("end of string while looking for conversion specifier");
      conversion = rest[1];
      if (rest.size() > 2 && rest[2] != ':') raise_type("expected ':' after conversion specifier");
      rest = rest.substr(2);
    }
    Value value = lookup(text.substr(0, name_end));
    if (conversion == 's') {
      value = runtime_.string(to_text(runtime_, value));
    } else if (conversion == 'r' || conversion == 'a') {
      const std::string repr = to_repr(runtime_, value);
      value = runtime_.string(conversion == 'a' ? to_ascii(repr) : repr);
    } else if (conversion != 0) {
      raise_type("Unknown conversion specifier {}", conversion);
    }
    const std::string spec = rest.empty() ? std::string() : run(rest.substr(1), depth - 1);
    if (!markup_) return format_value(runtime_, value, spec);
    if (value.is_markup()) {
      if (!spec.empty()) raise_type("Unsupported format specification for Markup.");
      return value.text();
    }
    return escape_html_text(format_value(runtime_, value, spec));
  }

  Value lookup(std::string_view name) {
    size_t end = std::min(name.find_first_of(".["), name.size());
    std::string first(name.substr(0, end));
    Value value;
    const bool digits = !first.empty() && first.find_first_not_of("0123456789") == std::string::npos;
    if (name.empty()) {
      if (automatic_ < 0) raise_type("cannot switch from manual field specification to automatic field numbering");
      value = positional_at(automatic_++);
    } else if (digits) {
      // string.Formatter looks at the whole name: {0.x} and {0[x]} go with automatic numbers.
      if (first.size() == name.size()) {
        if (automatic_ > 0) raise_type("cannot switch from automatic field numbering to manual field specification");
        automatic_ = -1;
      }
      if (first.size() > 9) raise_type("Too many decimal digits in format string");
      value = positional_at(std::atoll(first.c_str()));
    } else {
      if (named_.is_undefined()) fail_undefined(named_);
      value = named_.is(Type::kDict) && named_.as<Dict>().find(std::string_view(first)) != nullptr
                  ? *named_.as<Dict>().find(std::string_view(first))
                  : Value();
      if (value.is_missing()) raise_type("KeyError: {}", string_repr(first));
    }
    while (end < name.size()) {
      if (name[end] == '.') {
        const size_t next = std::min(name.find_first_of(".[", end + 1), name.size());
        if (next == end + 1) raise_type("Empty attribute in format string");
        value = get_attribute(runtime_, value, std::string(name.substr(end + 1, next - end - 1)));
        end = next;
      } else {
        const size_t close = name.find(']', end);
        if (close == std::string_view::npos) raise_type("Missing ']' in format string");
        const std::string key(name.substr(end + 1, close - end - 1));
        if (key.empty()) raise_type("Empty attribute in format string");
        const bool number = key.find_first_not_of("0123456789") == std::string::npos && key.size() < 18;
        value = get_item(runtime_, value, number ? Value::integer(std::atoll(key.c_str())) : runtime_.string(key));
        end = close + 1;
        if (end < name.size() && name[end] != '.' && name[end] != '[')
          raise_type("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Value positional_at(int64_t index) {
    if (index >= static_cast<int64_t>(positional_.size()))
      raise_type("Replacement index {} out of range for positional args tuple", index);
    return positional_[static_cast<size_t>(index)];
  }

  Runtime& runtime_;
  bool markup_;
  const std::vector<Value>& positional_;
  const Value& named_;
  int64_t automatic_ = 0;
};

}  // namespace

std::string format_value(Runtime& runtime, const Value& value, const std::string& spec_text) {
  if (spec_text.empty()) return to_text(runtime, value);
  if (!value.is_string() && !value.is_number()) {
    raise_type("unsupported format string passed to {}.__format__", type_name(value));
  }
  const Spec spec = parse_spec(spec_text, value);
  runtime.budget.check_size(spec.width);
  if (value.is_string()) return format_text(runtime, value, spec);
  if (value.is(Type::kFloat)) {
    if (spec.type != 0 && std::u32string_view(U"eEfFgGn%").find(spec.type) == std::u32string_view::npos)
      unknown_code(spec, value);
    return format_float(runtime, value.real_value(), spec);
  }
  return format_integer(runtime, value, spec);
}

Value format_method(Runtime& runtime, const Value& self, Args& args) {
  auto named = std::make_shared<Dict>();
  for (const auto& [name, value] : args.keyword) named->set(runtime.string(name), value);
  named->seal(runtime.budget);
  const Value names(Type::kDict, std::move(named));
  return runtime.string(Formatter(runtime, self, args.positional, names).run(self.text(), 2), self.is_markup());
}

Value format_map_method(Runtime& runtime, const Value& self, Args& args) {
  if (!args.keyword.empty()) raise_type("format_map() takes no keyword arguments");
  if (args.positional.size() != 1)
    raise_type("format_map() takes exactly one argument ({} given)", args.positional.size());
  return runtime.string(Formatter(runtime, self, {}, args.positional[0]).run(self.text(), 2), self.is_markup());
}

}  // namespace duet::jinja
