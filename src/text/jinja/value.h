#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/bigint.h"
#include "text/jinja/limits.h"
#include "text/jinja/template_error.h"

namespace duet::jinja {

class Runtime;
class Value;

/// Arguments of one call, already evaluated.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

/// Base of all values that live on the heap. What a template can see of them is immutable, except namespaces,
/// iterators, cyclers and joiners. `depth` counts the containers below, so that destroying one never recurses far.
class Object : public std::enable_shared_from_this<Object> {
 public:
  virtual ~Object() = default;
  /// Python's name of the type, for messages.
  virtual std::string type_name() const = 0;
  virtual std::string repr(Runtime& runtime) const;
  /// The Python attribute of this name, or a missing value.
  virtual Value attribute(Runtime& runtime, std::string_view name) const;
  /// object[key], or a missing value.
  virtual Value item(Runtime& runtime, const Value& key) const;
  virtual bool callable() const { return false; }
  virtual Value call(Runtime& runtime, Args& args) const;
  /// Python's len(), or -1.
  virtual int64_t length(Runtime&) const { return -1; }

  int32_t depth = 0;
};

enum class Type : uint8_t {
  kMissing,  // no value at all: an unset variable, an argument that was not given; templates never see it
  kUndefined,
  kNone,
  kBool,
  kInt,
  kBigInt,
  kFloat,
  kString,
  kBytes,
  kList,
  kTuple,
  kDict,
  kDictView,
  kRange,
  kIterator,
  kObject,  // everything else: functions, macros, namespaces, loops, ...
};

/// A Python value as a template sees it.
class Value {
 public:
  Value() : type_(Type::kMissing) {}
  static Value none() { return Value(Type::kNone); }
  static Value boolean(bool v) {
    Value value(Type::kBool);
    value.number_.integer = v ? 1 : 0;
    return value;
  }
  static Value integer(int64_t v) {
    Value value(Type::kInt);
    value.number_.integer = v;
    return value;
  }
  static Value real(double v) {
    Value value(Type::kFloat);
    value.number_.real = v;
    return value;
  }
  Value(Type type, std::shared_ptr<Object> object) : type_(type), object_(std::move(object)) {}

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_missing() const { return type_ == Type::kMissing; }
  bool is_undefined() const { return type_ == Type::kUndefined; }
  bool is_none() const { return type_ == Type::kNone; }
  bool is_string() const { return type_ == Type::kString; }
  /// int or bool, of any size
  bool is_integral() const { return type_ == Type::kInt || type_ == Type::kBool || type_ == Type::kBigInt; }
  bool is_number() const { return is_integral() || type_ == Type::kFloat; }
  /// int or bool that fits 64 bits
  bool is_small_integer() const { return type_ == Type::kInt || type_ == Type::kBool; }

  /// Precondition: the type fits.
  int64_t integer_value() const { return number_.integer; }
  double real_value() const { return number_.real; }
  const std::string& text() const;
  bool is_markup() const;
  const std::vector<Value>& items() const;  // list or tuple

  template <typename T>
  const T& as() const {
    return static_cast<const T&>(*object_);
  }
  /// For the few objects that change: iterators, namespaces, ...
  template <typename T>
  T& mutable_as() const {
    return static_cast<T&>(*object_);
  }
  /// nullptr unless this is an object of class T.
  template <typename T>
  T* get_if() const {
    return type_ == Type::kObject ? dynamic_cast<T*>(object_.get()) : nullptr;
  }
  const Object* object() const { return object_.get(); }
  const std::shared_ptr<Object>& shared() const { return object_; }
  int32_t depth() const { return object_ ? object_->depth : 0; }

 private:
  explicit Value(Type type) : type_(type) {}

  Type type_;
  union Number {
    int64_t integer = 0;
    double real;
  };
  Number number_;  // by the type
  std::shared_ptr<Object> object_;
};

/// Bytes of the budget that a value holds as long as it lives.
class Charge {
 public:
  Charge(Budget* budget, int64_t size_bytes) : budget_(budget), size_bytes_(size_bytes) {
    if (budget_ != nullptr) budget_->allocate(size_bytes_);
  }
  ~Charge() {
    if (budget_ != nullptr) budget_->release(size_bytes_);
  }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

 private:
  Budget* budget_;
  int64_t size_bytes_;
};

/// Text is UTF-8 in which, as in Python, lone surrogates may stand (three bytes each) until it is printed.
class String final : public Object {
 public:
  String(Budget* budget, std::string text, bool markup);
  std::string type_name() const override { return markup ? "Markup" : "str"; }
  bool ascii() const { return length == static_cast<int64_t>(text.size()); }

  std::string text;
  int64_t length;  // code points
  bool markup;

 private:
  Charge charge_;
};

class Bytes final : public Object {
 public:
  Bytes(Budget* budget, std::string v) : bytes(std::move(v)), charge_(budget, static_cast<int64_t>(bytes.size())) {}
  std::string type_name() const override { return "bytes"; }
  std::string bytes;

 private:
  Charge charge_;
};

class Integer final : public Object {
 public:
  explicit Integer(BigInt v) : value(std::move(v)) {}
  std::string type_name() const override { return "int"; }
  BigInt value;
};

/// An undefined value remembers what to say when it is used.
class UndefinedInfo final : public Object {
 public:
  UndefinedInfo(std::string text, TemplateErrorKind k) : message(std::move(text)), kind(k) {}
  std::string type_name() const override { return "Undefined"; }
  std::string message;
  TemplateErrorKind kind;
};

/// list or tuple; `group` marks the (grouper, list) pairs of the filter groupby.
class Sequence final : public Object {
 public:
  Sequence(Budget* budget, std::vector<Value> v, bool is_tuple);
  std::string type_name() const override { return tuple ? "tuple" : "list"; }
  std::vector<Value> items;
  bool tuple;
  bool group = false;

 private:
  Charge charge_;
};

class Dict final : public Object {
 public:
  using Entry = std::pair<Value, Value>;
  std::string type_name() const override { return "dict"; }
  /// nullptr if absent. Throws a type error for a key that cannot be hashed.
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  /// While it is built only; the first key stays, the last value wins.
  void set(const Value& key, Value value);
  const std::vector<Entry>& entries() const { return entries_; }
  /// Counts the finished dict against the budget and measures its depth.
  void seal(Budget& budget);

 private:
  int64_t position(const Value& key, size_t hash) const;
  std::vector<Entry> entries_;
  std::unordered_multimap<size_t, uint32_t> index_;
  std::unique_ptr<Charge> charge_;
};

class DictView final : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };
  DictView(Value d, Part p) : dict(std::move(d)), part(p) { depth = dict.depth() + 1; }
  std::string type_name() const override;
  Value dict;
  Part part;
};

class Range final : public Object {
 public:
  Range(int64_t b, int64_t e, int64_t s);
  std::string type_name() const override { return "range"; }
  int64_t at(int64_t index) const { return begin + index * step; }
  int64_t begin, end, step, length;
};

/// A Python iterator or generator: consumed once.
class Iterator : public Object {
 public:
  std::string type_name() const override { return "generator"; }
  /// false at the end.
  virtual bool next(Runtime& runtime, Value& out) = 0;
};

/// A built-in function or a bound method.
class Function final : public Object {
 public:
  using Body = std::function<Value(Runtime&, Args&)>;
  Function(std::string n, std::string t, Body b) : name(std::move(n)), type(std::move(t)), body(std::move(b)) {}
  std::string type_name() const override { return type; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Args& args) const override;
  Value attribute(Runtime& runtime, std::string_view attribute_name) const override;
  std::string name;
  std::string type;  // "function", "method", "builtin_function_or_method" or "type"
  Body body;
};

/// Undefined for an unset variable: "'name' is undefined".
Value undefined_name(std::string_view name);
Value undefined_hint(std::string message, TemplateErrorKind kind = TemplateErrorKind::kUndefined);
/// Throws what the undefined value has to say.
[[noreturn]] void fail_undefined(const Value& undefined);

Value make_string(Budget& budget, std::string text, bool markup = false);
Value make_list(Budget& budget, std::vector<Value> items);
Value make_tuple(Budget& budget, std::vector<Value> items);
Value make_integer(const BigInt& value);
Value make_function(std::string name, std::string type, Function::Body body, int32_t depth = 0);
/// Checks the nesting of the new object and wraps it.
template <typename T, typename... A>
Value make_object(Type type, A&&... args) {
  return Value(type, std::make_shared<T>(std::forward<A>(args)...));
}
/// 1 + the deepest of `items`; throws a limit error when too deep.
int32_t depth_above(const Budget& budget, const std::vector<Value>& items);
void check_depth(const Budget& budget, int32_t depth);

/// Python's type(x).__name__.
std::string type_name(const Value& value);
bool truthy(const Value& value);
/// Throws a type error for lists and dicts.
size_t hash_value(const Value& value);
/// Python's ==. Recursion is bounded by the depth of values.
bool equals(const Value& a, const Value& b);
/// Python's `is`.
bool identical(const Value& a, const Value& b);
/// Python's len(), or -1 for what has none.
int64_t length_of(Runtime& runtime, const Value& value);
double to_double(const Value& number);  // precondition: is_number(); inf for huge integers
BigInt to_bigint(const Value& integral);

}  // namespace duet::jinja
