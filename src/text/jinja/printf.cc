#include "text/jinja/printf.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {

std::string format_double(double value, const NumberStyle& style) {
  const bool upper = style.type == 'E' || style.type == 'F' || style.type == 'G';
  if (!std::isfinite(value)) {
    const std::string text = std::isnan(value) ? "nan" : "inf";
    return upper ? to_upper(text) : text;
  }
  value = std::fabs(value);
  if (style.type == 'r') return float_repr(value);
  const int precision = static_cast<int>(std::min<int64_t>(style.precision, 20'000));
  char pattern[8] = {'%',
                     style.alternate ? '#' : '.',
                     style.alternate ? '.' : '*',
                     style.alternate ? '*' : style.type,
                     style.alternate ? style.type : '\0',
                     '\0'};
  const int length = std::snprintf(nullptr, 0, pattern, precision, value);
  std::string out(static_cast<size_t>(length) + 1, '\0');
  std::snprintf(out.data(), out.size(), pattern, precision, value);
  out.pop_back();
  return out;
}

namespace {

struct Conversion {
  bool left = false, plus_sign = false, blank = false, alternate = false, zero = false;
  int64_t width = 0;
  int64_t precision = -1;
  char32_t type = 0;
};

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), bytes_(format.is(Type::kBytes)), markup_(format.is_markup()), values_(values) {
    format_ = decode(bytes_ ? bytes_to_text(format) : format.text());
    is_mapping_ = values.is(Type::kDict) || values.is(Type::kList) || values.is(Type::kRange) ||
                  values.is_undefined() || (values.is(Type::kBytes) && !bytes_);
  }

  Value run() {
    std::string literal;
    while (at_ < format_.size()) {
      if (format_[at_] != '%') {
        append_code_point(out_, format_[at_++]);
        continue;
      }
      ++at_;
      if (peek() == '%') {  // nothing may stand between the two
        out_ += '%';
        ++at_;
      } else {
        convert();
      }
      runtime_.budget.items(4);
      runtime_.budget.check_size(static_cast<int64_t>(out_.size()));
    }
    if (!is_mapping_ && used_ < argument_count()) raise_type("not all arguments converted during string formatting");
    return bytes_ ? text_to_bytes(out_) : runtime_.string(std::move(out_), markup_);
  }

 private:
  // Bytes are formatted as a text in which the character U+00XX is the byte XX.
  static std::string bytes_to_text(const Value& bytes) {
    std::string out;
    for (const char byte : bytes.as<Bytes>().bytes) append_code_point(out, static_cast<unsigned char>(byte));
    return out;
  }

  Value text_to_bytes(std::string_view text) {
    std::string out;
    for (const char32_t code : decode(text)) out += static_cast<char>(code);
    return make_object<Bytes>(Type::kBytes, &runtime_.budget, std::move(out));
  }

  size_t argument_count() const { return values_.is(Type::kTuple) ? values_.items().size() : 1; }

  char32_t peek() {
    if (at_ >= format_.size()) raise_type("incomplete format");
    return format_[at_];
  }

  Value next_argument() {
    if (used_ >= argument_count() || (used_ > 0 && !values_.is(Type::kTuple)))
      raise_type("not enough arguments for format string");
    return values_.is(Type::kTuple) ? values_.items()[used_++] : (++used_, values_);
  }

  /// %(key)s: the text between balanced parentheses.
  Value keyed_argument() {
    if (!is_mapping_ && !values_.is(Type::kDict)) raise_type("format requires a mapping");
    std::string key;
    int depth = 1;
    for (++at_;; ++at_) {
      if (at_ >= format_.size()) raise_type("incomplete format key");
      if (format_[at_] == '(') ++depth;
      if (format_[at_] == ')' && --depth == 0) break;
      append_code_point(key, format_[at_]);
    }
    ++at_;
    if (values_.is_undefined()) fail_undefined(values_);
    if (!values_.is(Type::kDict)) raise_type("indices must be integers or slices, not str");
    const Value* found =
        bytes_ ? values_.as<Dict>().find(text_to_bytes(key)) : values_.as<Dict>().find(std::string_view(key));
    if (found == nullptr) raise_type("KeyError: {}", string_repr(key));
    return *found;
  }

  int64_t number(const char* what) {
    if (peek() == '*') {
      ++at_;
      const Value value = next_argument();
      if (!value.is_integral()) raise_type("* wants int");
      return index_value(value, what);
    }
    int64_t value = 0;
    while (at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9') {
      value = value * 10 + static_cast<int64_t>(format_[at_++] - '0');
      if (value > INT32_MAX) {
        // Python: a ValueError above the size of memory, a MemoryError below it.
        while (at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9') {
          if (value > INT64_MAX / 20) raise_type("{} too big", what);
          value = value * 10 + static_cast<int64_t>(format_[at_++] - '0');
        }
        raise_limit("{} {} is too large", what, value);
      }
    }
    return value;
  }

  void convert() {
    Conversion c;
    Value argument;
    if (peek() == '(') {
      argument = keyed_argument();
      used_ = 1;
    }
    for (bool flags = true; flags;) {
      switch (peek()) {
        case '-':
          c.left = true;
          break;
        case '+':
          c.plus_sign = true;
          break;
        case ' ':
          c.blank = true;
          break;
        case '#':
          c.alternate = true;
          break;
        case '0':
          c.zero = true;
          break;
        default:
          flags = false;
          continue;
      }
      ++at_;
    }
    c.width = number("width");
    if (c.width < 0) {
      c.left = true;
      c.width = -c.width;
    }
    if (peek() == '.') {
      ++at_;
      c.precision = at_ < format_.size() ? std::max<int64_t>(0, number("precision")) : 0;
    }
    if (at_ < format_.size() && (peek() == 'h' || peek() == 'l' || peek() == 'L')) ++at_;
    c.type = peek();
    ++at_;
    if (argument.is_missing()) argument = next_argument();
    runtime_.budget.check_size(std::max(c.width, c.precision));
    switch (c.type) {
      case 'b':
        if (!bytes_) raise_type("unsupported format character");
        [[fallthrough]];
      case 's':
      case 'r':
      case 'a':
        text(c, argument);
        break;
      case 'c':
        character(c, argument);
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        integer(c, argument);
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        floating(c, argument);
        break;
      default:
        raise_type("unsupported format character");
    }
  }

  std::string shown(const Value& value) {
    if (bytes_) {
      if (!value.is(Type::kBytes)) raise_type("%b requires a bytes-like object, not '{}'", type_name(value));
      return bytes_to_text(value);
    }
    return markup_ ? escape_html(runtime_, value) : to_text(runtime_, value);
  }

  void text(const Conversion& c, const Value& value) {
    const bool as_is = c.type == 's' || c.type == 'b';
    std::string body = as_is ? shown(value) : to_repr(runtime_, value);
    if (!as_is && markup_) body = escape_html_text(body);
    if (c.type == 'a' || (c.type == 'r' && bytes_)) body = to_ascii(body);
    if (c.precision >= 0) body.resize(byte_offset(body, c.precision));
    pad(c, "", body, false);
  }

  void character(const Conversion& c, const Value& value) {
    std::string body;
    if (bytes_) {
      body = byte_of(value);
    } else if (value.is_string()) {
      if (value.as<String>().length != 1) raise_type("%c requires int or char");
      body = value.text();
    } else if (value.is_small_integer() && value.integer_value() >= 0 && value.integer_value() <= 0x10ffff) {
      append_code_point(body, static_cast<char32_t>(value.integer_value()));
    } else if (value.is_integral()) {
      raise_limit("%c arg not in range(0x110000)");
    } else {
      raise_type("%c requires int or char");
    }
    pad(c, "", body, false);
  }

  static std::string byte_of(const Value& value) {
    if (value.is(Type::kBytes) && value.as<Bytes>().bytes.size() == 1) return bytes_to_text(value);
    if (!value.is_integral()) raise_type("%c requires an integer in range(256) or a single byte");
    if (!value.is_small_integer() || value.integer_value() < 0 || value.integer_value() > 255) {
      raise_limit("%c arg not in range(256)");
    }
    std::string body;
    append_code_point(body, static_cast<char32_t>(value.integer_value()));
    return body;
  }

  void integer(const Conversion& c, const Value& argument) {
    Value value = argument;
    if (value.is_undefined()) {
      if (markup_ || c.type == 'd' || c.type == 'i' || c.type == 'u') fail_undefined(value);
    }
    const bool decimal = c.type == 'd' || c.type == 'i' || c.type == 'u';
    if (value.is(Type::kFloat) && decimal) value = truncate_float(value.real_value());
    if (!value.is_integral()) {
      raise_type("%{} format: {} is required, not {}", static_cast<char>(c.type),
                 decimal ? "a real number" : "an integer", type_name(value));
    }
    if (decimal) integer_text(value);  // checks the number of digits
    const BigInt whole = to_bigint(value);
    runtime_.budget.bytes(whole.bits());
    const int base = decimal ? 10 : c.type == 'o' ? 8 : 16;
    std::string digits = (whole.negative() ? -whole : whole).to_string(base);
    if (c.type == 'X') digits = to_upper(digits);
    if (c.precision > static_cast<int64_t>(digits.size())) {
      digits = std::string(static_cast<size_t>(c.precision) - digits.size(), '0') + digits;
    }
    std::string prefix = sign(c, whole.negative());
    if (c.alternate && !decimal) prefix += c.type == 'o' ? "0o" : c.type == 'x' ? "0x" : "0X";
    pad(c, prefix, digits, true);
  }

  void floating(const Conversion& c, const Value& value) {
    if (value.is_undefined() && !bytes_) fail_undefined(value);
    if (!value.is_number()) raise_type("must be real number, not {}", type_name(value));
    const double number_value = float_of(value);
    const NumberStyle style{
        .type = static_cast<char>(c.type), .precision = c.precision < 0 ? 6 : c.precision, .alternate = c.alternate};
    pad(c, sign(c, std::signbit(number_value) && !std::isnan(number_value)), format_double(number_value, style), true);
  }

  static std::string sign(const Conversion& c, bool negative) {
    return negative ? "-" : c.plus_sign ? "+" : c.blank ? " " : "";
  }

  void pad(const Conversion& c, const std::string& prefix, const std::string& body, bool numeric) {
    const int64_t length = static_cast<int64_t>(decode(body).size() + prefix.size());
    const std::string filling = repeat_text(runtime_, numeric && c.zero && !c.left ? "0" : " ", c.width - length);
    if (c.left) {
      out_ += prefix + body + filling;
    } else if (numeric && c.zero) {
      out_ += prefix + filling + body;
    } else {
      out_ += filling + prefix + body;
    }
  }

  Runtime& runtime_;
  bool bytes_, markup_;
  bool is_mapping_ = false;
  std::u32string format_;
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
  std::string out_;
};

}  // namespace

std::string to_ascii(std::string_view text) {
  std::string out;
  for (const char32_t code : decode(text)) {
    const auto value = static_cast<uint32_t>(code);
    out += value < 0x80      ? std::string(1, static_cast<char>(value))
           : value < 0x100   ? fmt::format("\\x{:02x}", value)
           : value < 0x10000 ? fmt::format("\\u{:04x}", value)
                             : fmt::format("\\U{:08x}", value);
  }
  return out;
}

Value format_percent(Runtime& runtime, const Value& format, const Value& values) {
  const size_t length = format.is(Type::kBytes) ? format.as<Bytes>().bytes.size() : format.text().size();
  runtime.budget.bytes(static_cast<int64_t>(length) * 4);
  return PercentFormatter(runtime, format, values).run();
}

}  // namespace duet::jinja
