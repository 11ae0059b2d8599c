#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace duet {

/// A JSON value with the order of its keys kept. Strict RFC 8259 in, compact text out.
/// Integers beyond int64 keep their digits in `BigInteger`, so that nothing is rounded silently.
class Json {
 public:
  struct BigInteger {
    std::string digits;  // as written, with an optional '-'
    bool operator==(const BigInteger&) const = default;
  };
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in file order, keys unique
  using Value = std::variant<std::nullptr_t, bool, int64_t, BigInteger, double, std::string, Array, Object>;

  Json() : value_(nullptr) {}
  Json(std::nullptr_t) : value_(nullptr) {}
  Json(bool v) : value_(v) {}
  Json(int v) : value_(static_cast<int64_t>(v)) {}
  Json(int64_t v) : value_(v) {}
  Json(double v) : value_(v) {}
  Json(BigInteger v) : value_(std::move(v)) {}
  Json(const char* v) : value_(std::string(v)) {}
  Json(std::string_view v) : value_(std::string(v)) {}
  Json(std::string v) : value_(std::move(v)) {}
  Json(Array v) : value_(std::move(v)) {}
  Json(Object v) : value_(std::move(v)) {}

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(value_); }
  bool is_big_integer() const { return std::holds_alternative<BigInteger>(value_); }
  bool is_float() const { return std::holds_alternative<double>(value_); }
  bool is_number() const { return is_integer() || is_float() || is_big_integer(); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  /// Precondition: the matching is_...().
  bool boolean() const { return std::get<bool>(value_); }
  int64_t integer() const { return std::get<int64_t>(value_); }
  /// Any number as the nearest double.
  double number() const;
  const std::string& string() const { return std::get<std::string>(value_); }
  const Array& array() const { return std::get<Array>(value_); }
  Array& array() { return std::get<Array>(value_); }
  const Object& object() const { return std::get<Object>(value_); }
  Object& object() { return std::get<Object>(value_); }
  const Value& value() const { return value_; }

  /// The member of an object, or nullptr (also when this is no object). Linear in the number of members.
  const Json* find(std::string_view key) const;
  /// "null", "bool", "integer", "number", "string", "array" or "object", for messages.
  std::string_view kind_name() const;
  /// Compact JSON text: UTF-8 kept, `", "`-free separators, doubles in shortest form, NaN and Inf as null.
  std::string dump() const;
  bool operator==(const Json&) const = default;

 private:
  Value value_;
};

struct JsonLimits {
  int64_t max_depth = 128;
  bool allow_duplicate_keys = false;  // true: the last one wins, as in Python
  int64_t max_values = INT64_MAX;     // a value takes 40 bytes of memory and more, but may take two in the text
};

/// Parses one whole RFC 8259 text. `name` is the file's name for messages.
/// Throws bad_json (syntax with byte position, BOM, invalid UTF-8, NaN, lone surrogate), too_deep, too_large (more than
/// `max_values` values), bad_key (doubled key).
Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits = {});

/// Receives a JSON text value by value, for texts whose tree would be many times their size.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  /// Anything but an object or array.
  virtual void scalar(Json value) = 0;
  virtual void begin_object() = 0;
  virtual void begin_array() = 0;
  /// The key of the member that follows.
  virtual void key(std::string key) = 0;
  /// The innermost object or array.
  virtual void end() = 0;
};

/// As parse_json, but doubled keys are for `events` to judge. What `events` throws ends the parse.
void parse_json_events(std::string_view text, std::string_view name, const JsonLimits& limits, JsonEvents& events);

/// `text` as a JSON string literal with quotes; invalid UTF-8 becomes U+FFFD.
std::string json_quote(std::string_view text);

}  // namespace duet
