#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/attributes.h"
#include "text/jinja/iterators.h"
#include "text/jinja/methods.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

Value make_bytes(Runtime& runtime, std::string bytes) {
  runtime.budget.check_size(static_cast<int64_t>(bytes.size()));
  return make_object<Bytes>(Type::kBytes, &runtime.budget, std::move(bytes));
}

// Most methods of bytes do what those of str do, on ASCII alone. They run as methods of a text in which every byte that
// bytes treat otherwise than str stands for itself, as a character of the private use area without any property.
constexpr char32_t kOpaque = 0xe000;

/// `lines`: for splitlines, which knows fewer line ends than str does.
Value to_stand_in(Runtime& runtime, const Value& bytes, bool lines) {
  std::string out;
  for (const char c : bytes.as<Bytes>().bytes) {
    const auto byte = static_cast<unsigned char>(c);
    const bool opaque = byte >= 0x80 || (byte >= 0x1c && byte <= 0x1f) || (lines && (c == '\v' || c == '\f'));
    append_code_point(out, opaque ? kOpaque + byte : byte);
  }
  return runtime.string(std::move(out));
}

/// An argument: bytes, and lists or tuples of them, are translated; a str is refused.
Value argument_to_stand_in(Runtime& runtime, const Value& value) {
  if (value.is(Type::kBytes)) return to_stand_in(runtime, value, false);
  if (value.is_string()) raise_type("a bytes-like object is required, not 'str'");
  if (!value.is(Type::kTuple) && !value.is(Type::kList)) return value;
  std::vector<Value> items;
  for (const Value& item : value.items()) {
    if (item.is_string()) raise_type("a bytes-like object is required, not 'str'");
    items.push_back(item.is(Type::kBytes) ? to_stand_in(runtime, item, false) : item);
  }
  return value.is(Type::kTuple) ? runtime.tuple(std::move(items)) : runtime.list(std::move(items));
}

Value from_stand_in(Runtime& runtime, const Value& value) {
  if (value.is_string()) {
    std::string out;
    for (const char32_t code : decode(value.text())) out += static_cast<char>(code >= kOpaque ? code - kOpaque : code);
    return make_bytes(runtime, std::move(out));
  }
  if (!value.is(Type::kTuple) && !value.is(Type::kList)) return value;
  std::vector<Value> items;
  for (const Value& item : value.items()) items.push_back(from_stand_in(runtime, item));
  return value.is(Type::kTuple) ? runtime.tuple(std::move(items)) : runtime.list(std::move(items));
}

constexpr std::string_view kTextMethods[] = {
    "capitalize", "center",   "count",      "endswith",  "expandtabs",   "find",         "index",      "isalnum",
    "isalpha",    "isascii",  "isdigit",    "islower",   "isspace",      "istitle",      "isupper",    "join",
    "ljust",      "lower",    "lstrip",     "partition", "removeprefix", "removesuffix", "replace",    "rfind",
    "rindex",     "rjust",    "rpartition", "rsplit",    "rstrip",       "split",        "splitlines", "startswith",
    "strip",      "swapcase", "title",      "upper",     "zfill",
};
/// Those that look for one byte when they get an integer.
constexpr std::string_view kSearches[] = {"count", "find", "index", "rfind", "rindex"};

template <size_t N>
bool is_one_of(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Value call_text_method(Runtime& runtime, const Value& self, const std::string& name, Args& args) {
  runtime.budget.bytes(static_cast<int64_t>(self.as<Bytes>().bytes.size()) * 4);
  Args translated;
  for (size_t i = 0; i < args.positional.size(); ++i) {
    Value value = args.positional[i];
    if (i == 0 && value.is_integral() && is_one_of(kSearches, name)) {
      if (!value.is_small_integer() || value.integer_value() < 0 || value.integer_value() > 255) {
        raise_type("byte must be in range(0, 256)");
      }
      value = make_bytes(runtime, std::string(1, static_cast<char>(value.integer_value())));
    }
    if (i == 0 && name == "join") value = runtime.list(collect(runtime, value));
    translated.positional.push_back(argument_to_stand_in(runtime, value));
  }
  for (const auto& [key, value] : args.keyword) {
    translated.keyword.emplace_back(key, argument_to_stand_in(runtime, value));
  }
  const Value method = text_method(runtime, to_stand_in(runtime, self, name == "splitlines"), name);
  return from_stand_in(runtime, call_value(runtime, method, translated));
}

enum class Encoding { kUtf8, kAscii, kLatin1 };

Encoding find_encoding(const std::string& name) {
  std::string plain = to_lower(name);
  std::replace(plain.begin(), plain.end(), '_', '-');
  std::replace(plain.begin(), plain.end(), ' ', '-');
  if (plain == "utf-8" || plain == "utf8" || plain == "u8" || plain == "utf") return Encoding::kUtf8;
  if (plain == "ascii" || plain == "us-ascii" || plain == "646") return Encoding::kAscii;
  for (const std::string_view latin :
       {"latin-1", "latin1", "iso-8859-1", "iso8859-1", "8859", "cp819", "l1", "latin"}) {
    if (plain == latin) return Encoding::kLatin1;
  }
  raise_type("unknown encoding: {}", printable(name));
}

/// What stands in the bytes for a character that the encoding lacks.
void append_unencodable(std::string& out, char32_t code, const std::string& errors) {
  const auto number = static_cast<uint32_t>(code);
  if (errors == "replace") {
    out += '?';
  } else if (errors == "xmlcharrefreplace") {
    out += fmt::format("&#{};", number);
  } else if (errors == "backslashreplace") {
    out += number < 0x100     ? fmt::format("\\x{:02x}", number)
           : number < 0x10000 ? fmt::format("\\u{:04x}", number)
                              : fmt::format("\\U{:08x}", number);
  } else if (errors == "strict") {
    raise_type("can't encode character U+{:04X}", number);
  } else if (errors != "ignore") {
    raise_type("unknown error handler name '{}'", printable(errors));
  }
}

/// What stands in the text for bytes that cannot be decoded.
void append_undecodable(std::string& out, std::string_view bytes, const std::string& errors) {
  if (errors == "replace") {
    append_code_point(out, 0xfffd);
  } else if (errors == "backslashreplace") {
    for (const char c : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  } else if (errors == "strict") {
    raise_type("can't decode byte 0x{:02x}", static_cast<unsigned char>(bytes[0]));
  } else if (errors != "ignore") {
    raise_type("unknown error handler name '{}'", printable(errors));
  }
}

Value decode_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "decode", {"encoding", "errors"}, 0);
  const Encoding encoding = bound.has(0) ? find_encoding(bound.text(0).text()) : Encoding::kUtf8;
  const std::string errors = bound.has(1) ? bound.text(1).text() : "strict";
  const std::string& bytes = self.as<Bytes>().bytes;
  const int growth = errors == "strict" || errors == "ignore" ? 2 : 4;
  runtime.budget.check_size(static_cast<int64_t>(bytes.size()) * growth);
  runtime.budget.bytes(static_cast<int64_t>(bytes.size()) * 2);
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view rest = std::string_view(bytes).substr(at);
    Utf8Step step{.code = static_cast<unsigned char>(rest[0]), .length = 1, .valid = true};
    if (encoding == Encoding::kUtf8) step = decode_utf8(rest);
    if (encoding == Encoding::kAscii) step.valid = step.code < 0x80;
    const auto length = static_cast<size_t>(step.length);
    if (step.valid) {
      append_code_point(out, step.code);
    } else {
      append_undecodable(out, rest.substr(0, length), errors);
    }
    at += length;
  }
  return runtime.string(std::move(out));
}

Value from_hex(Runtime& runtime, const Value&, Args& args) {
  const Bound bound(args, "fromhex", {"/string"}, 1);
  std::string out;
  int high = -1;
  for (const char c : bound.text(0).text()) {
    const size_t digit = std::string_view("0123456789abcdefABCDEF").find(c);
    const bool blank = high < 0 && (c == ' ' || (c >= '\t' && c <= '\r'));
    if (blank) continue;
    if (digit == std::string_view::npos) raise_type("non-hexadecimal number found in fromhex() arg");
    const int value = static_cast<int>(digit < 16 ? digit : digit - 6);
    if (high >= 0) out += static_cast<char>(high * 16 + value);
    high = high >= 0 ? -1 : value;
  }
  if (high >= 0) raise_type("non-hexadecimal number found in fromhex() arg");
  return make_bytes(runtime, std::move(out));
}

Value hex_method(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "hex", {"sep", "bytes_per_sep"}, 0);
  const std::string& bytes = self.as<Bytes>().bytes;
  std::string separator;
  if (bound.has(0)) {
    if (!bound[0].is_string() && !bound[0].is(Type::kBytes)) raise_type("sep must be str or bytes.");
    separator = bound[0].is_string() ? bound[0].text() : bound[0].as<Bytes>().bytes;
    if (separator.size() != 1) raise_type("sep must be length 1.");
    if (static_cast<unsigned char>(separator[0]) >= 0x80) raise_type("sep must be ASCII.");
  }
  // Groups are counted from the right, or with a negative size from the left; 0 has none.
  const int64_t group = bound.integer(1, 1);
  const auto size = static_cast<int64_t>(bytes.size());
  const int64_t width = std::abs(std::clamp<int64_t>(group, -size - 1, size + 1));
  runtime.budget.check_size(size * 3);
  std::string out;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t distance = group > 0 ? size - i : i;
    if (i > 0 && width > 0 && distance % width == 0) out += separator;
    out += fmt::format("{:02x}", static_cast<unsigned char>(bytes[static_cast<size_t>(i)]));
  }
  return runtime.string(std::move(out));
}

/// table: None or 256 bytes; `delete`: bytes that are left out.
Value translate(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "translate", {"/table", "delete"}, 1);
  std::string table, without;
  if (!bound[0].is_none()) {
    if (!bound[0].is(Type::kBytes)) raise_type("a bytes-like object is required, not '{}'", type_name(bound[0]));
    table = bound[0].as<Bytes>().bytes;
    if (table.size() != 256) raise_type("translation table must be 256 characters long");
  }
  if (bound.has(1)) {
    if (!bound[1].is(Type::kBytes)) raise_type("a bytes-like object is required, not '{}'", type_name(bound[1]));
    without = bound[1].as<Bytes>().bytes;
  }
  std::string out;
  for (const char c : self.as<Bytes>().bytes) {
    if (without.find(c) != std::string::npos) continue;
    out += table.empty() ? c : table[static_cast<unsigned char>(c)];
  }
  return make_bytes(runtime, std::move(out));
}

Value make_table(Runtime& runtime, const Value&, Args& args) {
  const Bound bound(args, "maketrans", {"/frm", "/to"}, 2);
  if (!bound[0].is(Type::kBytes) || !bound[1].is(Type::kBytes)) raise_type("a bytes-like object is required");
  const std::string &from = bound[0].as<Bytes>().bytes, &to = bound[1].as<Bytes>().bytes;
  if (from.size() != to.size()) raise_type("maketrans arguments must have same length");
  std::string table;
  for (int byte = 0; byte < 256; ++byte) table += static_cast<char>(byte);
  for (size_t i = 0; i < from.size(); ++i) table[static_cast<unsigned char>(from[i])] = to[i];
  return make_bytes(runtime, std::move(table));
}

constexpr MethodEntry kOwnMethods[] = {{"decode", decode_method},
                                       {"fromhex", from_hex},
                                       {"hex", hex_method},
                                       {"maketrans", make_table},
                                       {"translate", translate}};

}  // namespace

Value encode_text(Runtime& runtime, const Value& text, Args& args) {
  const Bound bound(args, "encode", {"encoding", "errors"}, 0);
  const Encoding encoding = bound.has(0) ? find_encoding(bound.text(0).text()) : Encoding::kUtf8;
  const std::string errors = bound.has(1) ? bound.text(1).text() : "strict";
  const std::string& source = text.text();
  runtime.budget.check_size(static_cast<int64_t>(source.size()) * (errors == "strict" ? 1 : 10));
  runtime.budget.bytes(static_cast<int64_t>(source.size()) * 2);
  std::string out;
  for (size_t at = 0; at < source.size();) {
    const CodePoint point = first_code_point(std::string_view(source).substr(at));
    const bool surrogate = point.code >= 0xd800 && point.code <= 0xdfff;
    const bool known = encoding == Encoding::kUtf8     ? !surrogate
                       : encoding == Encoding::kLatin1 ? point.code < 0x100
                                                       : point.code < 0x80;
    if (!known) {
      append_unencodable(out, point.code, errors);
    } else if (encoding == Encoding::kUtf8) {
      append_code_point(out, point.code);
    } else {
      out += static_cast<char>(static_cast<unsigned char>(point.code));
    }
    at += static_cast<size_t>(point.length);
  }
  return make_bytes(runtime, std::move(out));
}

Value bytes_method(Runtime& runtime, const Value& bytes, std::string_view name) {
  Value own = bound_method(runtime, bytes, name, kOwnMethods);
  if (!own.is_missing()) return own;
  if (!is_one_of(kTextMethods, name)) return {};
  return bind_method(runtime, bytes, name, [bytes, method = std::string(name)](Runtime& rt, Args& args) {
    return call_text_method(rt, bytes, method, args);
  });
}

}  // namespace duet::jinja
