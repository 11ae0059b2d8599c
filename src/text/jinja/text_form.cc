#include "text/jinja/text_form.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/unicode.h"

namespace duet::jinja {

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(result.ptr - buffer));
  const size_t e = text.find('e');
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  int exponent = 0;
  const std::string_view exponent_text = text.substr(text[e + 1] == '+' ? e + 2 : e + 1);
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  const std::string sign = std::signbit(value) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string string_repr(std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    const auto code = static_cast<uint32_t>(point.code);
    if (code == static_cast<uint32_t>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (has(point.code, kPrintable)) {
      out += text.substr(0, static_cast<size_t>(point.length));
    } else if (code < 0x100) {
      out += fmt::format("\\x{:02x}", code);
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += fmt::format("\\U{:08x}", code);
    }
    text.remove_prefix(static_cast<size_t>(point.length));
  }
  return out + quote;
}

namespace {

constexpr int64_t kMaxDigits = 4300;

std::string bytes_repr(std::string_view bytes) {
  const char quote =
      bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out = std::string("b") + quote;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + quote;
}

void append_items(Runtime& runtime, const std::vector<Value>& items, std::string& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(runtime, items[i], out);
  }
}

void append_dict(Runtime& runtime, const Dict& dict, std::string& out) {
  out += '{';
  for (size_t i = 0; i < dict.entries().size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(runtime, dict.entries()[i].first, out);
    out += ": ";
    append_repr(runtime, dict.entries()[i].second, out);
  }
  out += '}';
}

void append_view(Runtime& runtime, const DictView& view, std::string& out) {
  out += view.type_name() + "([";
  const auto& entries = view.dict.as<Dict>().entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += ", ";
    if (view.part == DictView::Part::kItems) {
      out += '(';
      append_repr(runtime, entries[i].first, out);
      out += ", ";
      append_repr(runtime, entries[i].second, out);
      out += ')';
    } else {
      append_repr(runtime, view.part == DictView::Part::kKeys ? entries[i].first : entries[i].second, out);
    }
  }
  out += "])";
}

}  // namespace

std::string integer_text(const Value& integral) {
  if (!integral.is(Type::kBigInt)) return std::to_string(integral.integer_value());
  const BigInt& value = integral.as<Integer>().value;
  // 4300 digits are between 14280 and 14285 bits: only there do the digits have to be counted.
  constexpr int64_t kSurelyTooLong = 14286;
  std::string text = value.bits() < kSurelyTooLong ? value.to_string() : std::string();
  const int64_t digits = static_cast<int64_t>(text.size()) - (value.negative() ? 1 : 0);
  if (text.empty() || digits > kMaxDigits)
    raise_type("Exceeds the limit ({} digits) for integer string conversion", kMaxDigits);
  return text;
}

namespace {

bool is_container(const Value& value) {
  return value.is(Type::kList) || value.is(Type::kTuple) || value.is(Type::kDict);
}

/// Enters a container into Runtime::printing while it is printed.
class Printing {
 public:
  Printing(Runtime& runtime, const Value& value) : runtime_(runtime), entered_(is_container(value)) {
    if (entered_) runtime.printing.push_back(value.object());
  }
  ~Printing() {
    if (entered_) runtime_.printing.pop_back();
  }
  Printing(const Printing&) = delete;
  Printing& operator=(const Printing&) = delete;

 private:
  Runtime& runtime_;
  bool entered_;
};

}  // namespace

void append_repr(Runtime& runtime, const Value& value, std::string& out) {
  if (runtime.cycles_possible && is_container(value) &&
      std::find(runtime.printing.begin(), runtime.printing.end(), value.object()) != runtime.printing.end()) {
    out += value.is(Type::kList) ? "[...]" : value.is(Type::kTuple) ? "(...)" : "{...}";
    return;
  }
  const Printing printing(runtime, value);
  const Budget::Nesting nesting(runtime.budget);
  runtime.budget.items(1);
  runtime.budget.check_size(static_cast<int64_t>(out.size()));
  switch (value.type()) {
    case Type::kMissing:
      out += "missing";
      break;
    case Type::kUndefined:
      out += "Undefined";
      break;
    case Type::kNone:
      out += "None";
      break;
    case Type::kBool:
      out += value.integer_value() != 0 ? "True" : "False";
      break;
    case Type::kInt:
    case Type::kBigInt:
      out += integer_text(value);
      break;
    case Type::kFloat:
      out += float_repr(value.real_value());
      break;
    case Type::kString:
      out += value.is_markup() ? "Markup(" + string_repr(value.text()) + ")" : string_repr(value.text());
      break;
    case Type::kBytes:
      out += bytes_repr(value.as<Bytes>().bytes);
      break;
    case Type::kList:
      out += '[';
      append_items(runtime, value.items(), out);
      out += ']';
      break;
    case Type::kTuple:
      out += '(';
      append_items(runtime, value.items(), out);
      out += value.items().size() == 1 ? ",)" : ")";
      break;
    case Type::kDict:
      append_dict(runtime, value.as<Dict>(), out);
      break;
    case Type::kDictView:
      append_view(runtime, value.as<DictView>(), out);
      break;
    case Type::kRange: {
      const Range& range = value.as<Range>();
      out += fmt::format("range({}, {}", range.begin, range.end);
      out += range.step == 1 ? ")" : fmt::format(", {})", range.step);
      break;
    }
    case Type::kIterator:
    case Type::kObject:
      out += value.object()->repr(runtime);
      break;
  }
}

std::string to_repr(Runtime& runtime, const Value& value) {
  std::string out;
  append_repr(runtime, value, out);
  return out;
}

std::string to_text(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return {};
  return to_repr(runtime, value);
}

std::string escape_html_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string escape_html(Runtime& runtime, const Value& value) {
  return value.is_markup() ? value.text() : escape_html_text(to_text(runtime, value));
}

}  // namespace duet::jinja
