#include "text/jinja/value.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "base/utf8.h"
#include "text/jinja/attributes.h"
#include "text/jinja/runtime.h"

namespace duet::jinja {

std::string Object::repr(Runtime&) const { return "<" + type_name() + " object>"; }
Value Object::attribute(Runtime&, std::string_view) const { return {}; }
Value Object::item(Runtime&, const Value&) const { return {}; }
Value Object::call(Runtime&, Args&) const { raise_type("'{}' object is not callable", type_name()); }

const std::string& Value::text() const { return as<String>().text; }
bool Value::is_markup() const { return is_string() && as<String>().markup; }
const std::vector<Value>& Value::items() const { return as<Sequence>().items; }

namespace {

constexpr int64_t kValueBytes = static_cast<int64_t>(sizeof(Value));

}  // namespace

String::String(Budget* budget, std::string t, bool m)
    : text(std::move(t)),
      length(count_code_points(text)),
      markup(m),
      charge_(budget, static_cast<int64_t>(text.size())) {}

Sequence::Sequence(Budget* budget, std::vector<Value> v, bool is_tuple)
    : items(std::move(v)), tuple(is_tuple), charge_(budget, static_cast<int64_t>(items.size()) * kValueBytes) {}

Range::Range(int64_t b, int64_t e, int64_t s) : begin(b), end(e), step(s), length(0) {
  // Unsigned distances: begin and end may lie anywhere in 64 bits.
  if (step > 0 && begin < end) {
    const uint64_t count =
        (static_cast<uint64_t>(end) - static_cast<uint64_t>(begin) - 1) / static_cast<uint64_t>(step) + 1;
    length = count > static_cast<uint64_t>(INT64_MAX) ? INT64_MAX : static_cast<int64_t>(count);
  } else if (step < 0 && begin > end) {
    const uint64_t count =
        (static_cast<uint64_t>(begin) - static_cast<uint64_t>(end) - 1) / (0 - static_cast<uint64_t>(step)) + 1;
    length = count > static_cast<uint64_t>(INT64_MAX) ? INT64_MAX : static_cast<int64_t>(count);
  }
}

std::string DictView::type_name() const {
  return part == Part::kKeys ? "dict_keys" : part == Part::kValues ? "dict_values" : "dict_items";
}

Value Function::call(Runtime& runtime, Args& args) const { return body(runtime, args); }

Value Function::attribute(Runtime&, std::string_view attribute_name) const {
  if (type != "type" || name != "dict" || attribute_name != "fromkeys") return {};
  return make_function("fromkeys", "builtin_function_or_method", dict_from_keys);
}

int64_t Dict::position(const Value& key, size_t hash) const {
  if (entries_.size() <= 8) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (equals(entries_[i].first, key)) return static_cast<int64_t>(i);
    }
    return -1;
  }
  const auto [first, last] = index_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (equals(entries_[it->second].first, key)) return it->second;
  }
  return -1;
}

const Value* Dict::find(const Value& key) const {
  const int64_t at = position(key, hash_value(key));
  return at < 0 ? nullptr : &entries_[static_cast<size_t>(at)].second;
}

const Value* Dict::find(std::string_view key) const {
  if (entries_.size() <= 8) {
    for (const Entry& entry : entries_) {
      if (entry.first.is_string() && entry.first.text() == key) return &entry.second;
    }
    return nullptr;
  }
  const auto [first, last] = index_.equal_range(std::hash<std::string_view>()(key));
  for (auto it = first; it != last; ++it) {
    const Entry& entry = entries_[it->second];
    if (entry.first.is_string() && entry.first.text() == key) return &entry.second;
  }
  return nullptr;
}

void Dict::set(const Value& key, Value value) {
  const size_t hash = hash_value(key);
  const int64_t at = position(key, hash);
  if (at >= 0) {
    entries_[static_cast<size_t>(at)].second = std::move(value);
    return;
  }
  entries_.emplace_back(key, std::move(value));
  if (entries_.size() == 9) {
    for (size_t i = 0; i < entries_.size(); ++i)
      index_.emplace(hash_value(entries_[i].first), static_cast<uint32_t>(i));
  } else if (entries_.size() > 9) {
    index_.emplace(hash, static_cast<uint32_t>(entries_.size() - 1));
  }
}

void Dict::seal(Budget& budget) {
  charge_ = std::make_unique<Charge>(&budget, static_cast<int64_t>(entries_.size()) * 4 * kValueBytes);
  int32_t deepest = 0;
  for (const Entry& entry : entries_) deepest = std::max({deepest, entry.first.depth(), entry.second.depth()});
  depth = deepest + 1;
  check_depth(budget, depth);
}

void check_depth(const Budget& budget, int32_t depth) {
  if (depth > budget.limits().max_value_depth) {
    raise_limit("values are nested deeper than {} levels", budget.limits().max_value_depth);
  }
}

int32_t depth_above(const Budget& budget, const std::vector<Value>& items) {
  int32_t deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, item.depth());
  check_depth(budget, deepest + 1);
  return deepest + 1;
}

Value undefined_name(std::string_view name) {
  return make_object<UndefinedInfo>(Type::kUndefined, fmt::format("'{}' is undefined", name),
                                    TemplateErrorKind::kUndefined);
}

Value undefined_hint(std::string message, TemplateErrorKind kind) {
  return make_object<UndefinedInfo>(Type::kUndefined, std::move(message), kind);
}

void fail_undefined(const Value& undefined) {
  const auto& info = undefined.as<UndefinedInfo>();
  throw TemplateError(info.kind, info.message);
}

Value make_string(Budget& budget, std::string text, bool markup) {
  return make_object<String>(Type::kString, &budget, std::move(text), markup);
}

Value make_list(Budget& budget, std::vector<Value> items) {
  const int32_t depth = depth_above(budget, items);
  auto list = std::make_shared<Sequence>(&budget, std::move(items), false);
  list->depth = depth;
  return Value(Type::kList, std::move(list));
}

Value make_tuple(Budget& budget, std::vector<Value> items) {
  const int32_t depth = depth_above(budget, items);
  auto tuple = std::make_shared<Sequence>(&budget, std::move(items), true);
  tuple->depth = depth;
  return Value(Type::kTuple, std::move(tuple));
}

Value make_integer(const BigInt& value) {
  if (value.fits_int64()) return Value::integer(value.to_int64());
  return make_object<Integer>(Type::kBigInt, value);
}

Value make_function(std::string name, std::string type, Function::Body body, int32_t depth) {
  auto function = std::make_shared<Function>(std::move(name), std::move(type), std::move(body));
  function->depth = depth;
  return Value(Type::kObject, std::move(function));
}

std::string type_name(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
      return "missing";
    case Type::kNone:
      return "NoneType";
    case Type::kBool:
      return "bool";
    case Type::kInt:
      return "int";
    case Type::kFloat:
      return "float";
    default:
      return value.object()->type_name();
  }
}

bool truthy(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return false;
    case Type::kBool:
    case Type::kInt:
      return value.integer_value() != 0;
    case Type::kFloat:
      return value.real_value() != 0;
    case Type::kString:
      return !value.text().empty();
    case Type::kBytes:
      return !value.as<Bytes>().bytes.empty();
    case Type::kList:
    case Type::kTuple:
      return !value.items().empty();
    case Type::kDict:
      return !value.as<Dict>().entries().empty();
    case Type::kDictView:
      return !value.as<DictView>().dict.as<Dict>().entries().empty();
    case Type::kRange:
      return value.as<Range>().length != 0;
    case Type::kBigInt:
    case Type::kIterator:
    case Type::kObject:
      return true;
  }
  return true;
}

double to_double(const Value& number) {
  if (number.is(Type::kFloat)) return number.real_value();
  if (number.is(Type::kBigInt)) return number.as<Integer>().value.to_double();
  return static_cast<double>(number.integer_value());
}

BigInt to_bigint(const Value& integral) {
  return integral.is(Type::kBigInt) ? integral.as<Integer>().value : BigInt(integral.integer_value());
}

namespace {

size_t mix(size_t a, size_t b) {
  return (a ^ (b + 0x9e3779b97f4a7c15ull + (a << 6) + (a >> 2))) * 0xff51afd7ed558ccdull;
}

size_t hash_double(double v) {
  if (v == std::floor(v) && std::fabs(v) < 9.2e18) return std::hash<int64_t>()(static_cast<int64_t>(v));
  return std::hash<double>()(v);
}

}  // namespace

namespace {

/// Tuples may share their parts, so that a small one stands for a tree of any size: `nodes` bounds that.
size_t hash_counted(const Value& value, int64_t& nodes) {
  constexpr int64_t kMaxNodes = 100'000;
  if (++nodes > kMaxNodes) raise_limit("a key has more than {} parts", kMaxNodes);
  switch (value.type()) {
    case Type::kBool:
    case Type::kInt: {
      const int64_t v = value.integer_value();
      // Integers at the rim must agree with doubles that equal them.
      if (v > int64_t{9'200'000'000'000'000'000} || v < -int64_t{9'200'000'000'000'000'000}) {
        return hash_double(static_cast<double>(v));
      }
      return std::hash<int64_t>()(v);
    }
    case Type::kBigInt:
      return hash_double(value.as<Integer>().value.to_double());
    case Type::kFloat:
      return hash_double(value.real_value());
    case Type::kString:
      return std::hash<std::string_view>()(value.text());
    case Type::kBytes:
      return std::hash<std::string_view>()(value.as<Bytes>().bytes);
    case Type::kTuple: {
      size_t hash = 7;
      for (const Value& item : value.items()) hash = mix(hash, hash_counted(item, nodes));
      return hash;
    }
    case Type::kList:
    case Type::kDict:
      raise_type("unhashable type: '{}'", type_name(value));
    case Type::kDictView:
      if (value.as<DictView>().part != DictView::Part::kValues) raise_type("unhashable type: '{}'", type_name(value));
      return std::hash<const void*>()(value.object());
    case Type::kRange:
      return mix(static_cast<size_t>(value.as<Range>().length), 3);
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return static_cast<size_t>(value.type());
    case Type::kIterator:
    case Type::kObject:
      return std::hash<const void*>()(value.object());
  }
  return 0;
}

}  // namespace

size_t hash_value(const Value& value) {
  int64_t nodes = 0;
  return hash_counted(value, nodes);
}

bool identical(const Value& a, const Value& b) {
  if (a.type() != b.type()) return false;
  if (a.object() != nullptr || b.object() != nullptr) return a.object() == b.object();
  if (a.is(Type::kFloat)) return std::bit_cast<uint64_t>(a.real_value()) == std::bit_cast<uint64_t>(b.real_value());
  return a.integer_value() == b.integer_value();
}

namespace {

bool same_element(const Value& a, const Value& b) { return (a.object() != nullptr && identical(a, b)) || equals(a, b); }

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_small_integer() && b.is_small_integer()) return a.integer_value() == b.integer_value();
  if (a.is(Type::kFloat) && b.is(Type::kFloat)) return a.real_value() == b.real_value();
  if (a.is(Type::kFloat)) return !std::isnan(a.real_value()) && BigInt::compare(to_bigint(b), a.real_value()) == 0;
  if (b.is(Type::kFloat)) return !std::isnan(b.real_value()) && BigInt::compare(to_bigint(a), b.real_value()) == 0;
  return to_bigint(a) == to_bigint(b);
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(key);
    if (other == nullptr || !same_element(value, *other)) return false;
  }
  return true;
}

bool equal_views(const DictView& a, const DictView& b) {
  const Dict& left = a.dict.as<Dict>();
  const Dict& right = b.dict.as<Dict>();
  if (a.part != b.part || a.part == DictView::Part::kValues) return false;
  if (a.part == DictView::Part::kItems) return equal_dicts(left, right);
  if (left.entries().size() != right.entries().size()) return false;
  for (const auto& entry : left.entries()) {
    if (right.find(entry.first) == nullptr) return false;
  }
  return true;
}

bool equal_ranges(const Range& a, const Range& b) {
  if (a.length != b.length) return false;
  return a.length == 0 || (a.begin == b.begin && (a.length == 1 || a.step == b.step));
}

}  // namespace

bool equals(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return true;
    case Type::kString:
      return a.text() == b.text();
    case Type::kBytes:
      return a.as<Bytes>().bytes == b.as<Bytes>().bytes;
    case Type::kList:
    case Type::kTuple: {
      const auto& left = a.items();
      const auto& right = b.items();
      if (left.size() != right.size()) return false;
      for (size_t i = 0; i < left.size(); ++i) {
        if (!same_element(left[i], right[i])) return false;
      }
      return true;
    }
    case Type::kDict:
      return equal_dicts(a.as<Dict>(), b.as<Dict>());
    case Type::kDictView:
      return identical(a, b) || equal_views(a.as<DictView>(), b.as<DictView>());
    case Type::kRange:
      return equal_ranges(a.as<Range>(), b.as<Range>());
    default:
      return identical(a, b);
  }
}

int64_t length_of(Runtime& runtime, const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return 0;
    case Type::kString:
      return value.as<String>().length;
    case Type::kBytes:
      return static_cast<int64_t>(value.as<Bytes>().bytes.size());
    case Type::kList:
    case Type::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Type::kDict:
      return static_cast<int64_t>(value.as<Dict>().entries().size());
    case Type::kDictView:
      return static_cast<int64_t>(value.as<DictView>().dict.as<Dict>().entries().size());
    case Type::kRange:
      return value.as<Range>().length;
    case Type::kObject:
      return value.object()->length(runtime);
    default:
      return -1;
  }
}

}  // namespace duet::jinja
