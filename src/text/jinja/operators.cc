#include "text/jinja/operators.h"

#include <algorithm>

#include "text/jinja/iterators.h"
#include "text/jinja/numbers.h"
#include "text/jinja/printf.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_search.h"

namespace duet::jinja {
namespace {

std::string_view symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kFloorDiv:
      return "//";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kPow:
      return "**";
  }
  return "?";
}

std::string_view symbol(CompareOp op) {
  switch (op) {
    case CompareOp::kLt:
      return "<";
    case CompareOp::kLtEq:
      return "<=";
    case CompareOp::kGt:
      return ">";
    case CompareOp::kGtEq:
      return ">=";
    default:
      return "==";
  }
}

bool is_repeatable(const Value& value) {
  return value.is_string() || value.is(Type::kList) || value.is(Type::kTuple) || value.is(Type::kBytes);
}

Value repeat(Runtime& runtime, const Value& value, const Value& count) {
  if (count.is(Type::kBigInt)) raise_limit("cannot fit 'int' into an index-sized integer");
  const int64_t length = value.is_string() ? static_cast<int64_t>(value.text().size()) : length_of(runtime, value);
  const int64_t times = length == 0 ? 0 : std::max<int64_t>(0, count.integer_value());
  int64_t size_bytes = 0;
  const bool is_text = value.is_string() || value.is(Type::kBytes);
  if (__builtin_mul_overflow(length * (is_text ? 1 : static_cast<int64_t>(sizeof(Value))), times, &size_bytes))
    size_bytes = INT64_MAX;
  runtime.budget.check_size(size_bytes);
  if (is_text) {
    const std::string& unit = value.is_string() ? value.text() : value.as<Bytes>().bytes;
    std::string out;
    out.reserve(static_cast<size_t>(size_bytes));
    for (int64_t i = 0; i < times; ++i) out += unit;
    if (value.is_string()) return runtime.string(std::move(out), value.is_markup());
    return make_object<Bytes>(Type::kBytes, &runtime.budget, std::move(out));
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(length * times));
  for (int64_t i = 0; i < times; ++i) items.insert(items.end(), value.items().begin(), value.items().end());
  return value.is(Type::kList) ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
}

Value concatenate(Runtime& runtime, const Value& a, const Value& b) {
  std::vector<Value> items;
  runtime.budget.check_size(static_cast<int64_t>((a.items().size() + b.items().size()) * sizeof(Value)));
  items.reserve(a.items().size() + b.items().size());
  items.insert(items.end(), a.items().begin(), a.items().end());
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is(Type::kList) ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
}

/// A bound on the number of elements that comparing must visit, values of values included.
int64_t tree_size(const Value& value, int64_t limit) {
  const auto add = [limit](int64_t total, const Value& item) { return total + tree_size(item, limit - total); };
  int64_t total = 1;
  if (value.is(Type::kList) || value.is(Type::kTuple)) {
    for (const Value& item : value.items()) {
      if (total > limit) break;
      total = add(total, item);
    }
  } else if (value.is(Type::kDict)) {
    for (const auto& entry : value.as<Dict>().entries()) {
      if (total > limit) break;
      total = add(add(total, entry.first), entry.second);
    }
  } else if (value.is(Type::kDictView)) {
    total = add(total, value.as<DictView>().dict);
  }
  return total;
}

bool sequence_order(Runtime& runtime, CompareOp op, const std::vector<Value>& a, const std::vector<Value>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!identical(a[i], b[i]) && !equal(runtime, a[i], b[i])) return compare(runtime, op, a[i], b[i]);
  }
  const int lengths = a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
  return op == CompareOp::kLt     ? lengths < 0
         : op == CompareOp::kLtEq ? lengths <= 0
         : op == CompareOp::kGt   ? lengths > 0
                                  : lengths >= 0;
}

bool views_compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  if (op == CompareOp::kGt || op == CompareOp::kGtEq) {
    return views_compare(runtime, op == CompareOp::kGt ? CompareOp::kLt : CompareOp::kLtEq, b, a);
  }
  const int64_t left = length_of(runtime, a), right = length_of(runtime, b);
  if (op == CompareOp::kLt ? left >= right : left > right) return false;
  const std::shared_ptr<Iterator> iterator = make_iterator(runtime, a);
  Value item;
  while (iterator->next(runtime, item)) {
    if (!contains(runtime, b, item)) return false;
  }
  return true;
}

bool is_set_view(const Value& value) {
  return value.is(Type::kDictView) && value.as<DictView>().part != DictView::Part::kValues;
}

bool ordered(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  int result = 2;
  if (a.is_number() && b.is_number()) {
    result = compare_numbers(a, b);
    if (result == 2) return false;
  } else if (a.is_string() && b.is_string()) {
    result = a.text().compare(b.text());  // code point order is byte order
  } else if (a.is(Type::kBytes) && b.is(Type::kBytes)) {
    result = a.as<Bytes>().bytes.compare(b.as<Bytes>().bytes);
  } else if ((a.is(Type::kList) || a.is(Type::kTuple)) && a.type() == b.type()) {
    return sequence_order(runtime, op, a.items(), b.items());
  } else if (is_set_view(a) && is_set_view(b)) {
    return views_compare(runtime, op, a, b);
  } else {
    raise_type("'{}' not supported between instances of '{}' and '{}'", symbol(op), type_name(a), type_name(b));
  }
  switch (op) {
    case CompareOp::kLt:
      return result < 0;
    case CompareOp::kLtEq:
      return result <= 0;
    case CompareOp::kGt:
      return result > 0;
    default:
      return result >= 0;
  }
}

}  // namespace

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  if (a.type() == b.type() && a.depth() > 0 && b.depth() > 0) {
    constexpr int64_t kLimit = 1 << 24;  // above what the steps allow
    runtime.budget.items(tree_size(a, kLimit));
  }
  return equals(a, b);
}

Value join_text(Runtime& runtime, const Value& a, const Value& b) {
  const bool markup = a.is_markup() || b.is_markup();
  runtime.budget.check_size(static_cast<int64_t>(a.text().size() + b.text().size()));
  if (!markup) return runtime.string(a.text() + b.text());
  return runtime.string(escape_html(runtime, a) + escape_html(runtime, b), true);
}

Value binary(Runtime& runtime, BinaryOp op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return arithmetic(runtime, op, a, b);
  if (op == BinaryOp::kMod && (a.is_string() || a.is(Type::kBytes))) return format_percent(runtime, a, b);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) {
    if (op == BinaryOp::kMul && a.is_markup()) raise_type("'Undefined' object cannot be interpreted as an integer");
    fail_undefined(b);
  }
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) return join_text(runtime, a, b);
    if ((a.is(Type::kList) || a.is(Type::kTuple)) && a.type() == b.type()) return concatenate(runtime, a, b);
    if (a.is(Type::kBytes) && b.is(Type::kBytes)) {
      return make_object<Bytes>(Type::kBytes, &runtime.budget, a.as<Bytes>().bytes + b.as<Bytes>().bytes);
    }
    if (a.is_string()) raise_type("can only concatenate str (not \"{}\") to str", type_name(b));
  }
  if (op == BinaryOp::kMul) {
    if (is_repeatable(a) && b.is_integral()) return repeat(runtime, a, b);
    if (is_repeatable(b) && a.is_integral()) return repeat(runtime, b, a);
  }
  raise_type("unsupported operand type(s) for {}: '{}' and '{}'", symbol(op), type_name(a), type_name(b));
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::kString:
      if (!item.is_string()) raise_type("'in <string>' requires string as left operand, not {}", type_name(item));
      runtime.budget.bytes(static_cast<int64_t>(container.text().size()));
      return find_first(container.text(), item.text()) != std::string::npos;
    case Type::kList:
    case Type::kTuple:
      runtime.budget.items(static_cast<int64_t>(container.items().size()));
      return std::any_of(container.items().begin(), container.items().end(), [&](const Value& element) {
        return (element.object() != nullptr && identical(element, item)) || equal(runtime, element, item);
      });
    case Type::kDict:
      runtime.budget.items(tree_size(item, 1 << 24));
      return container.as<Dict>().find(item) != nullptr;
    case Type::kDictView: {
      const DictView& view = container.as<DictView>();
      const Dict& dict = view.dict.as<Dict>();
      runtime.budget.items(tree_size(item, 1 << 24));
      if (view.part == DictView::Part::kKeys) return dict.find(item) != nullptr;
      if (view.part == DictView::Part::kItems) {
        if (!item.is(Type::kTuple) || item.items().size() != 2) return false;
        const Value* value = dict.find(item.items()[0]);
        return value != nullptr && equal(runtime, *value, item.items()[1]);
      }
      break;
    }
    case Type::kRange: {
      if (!item.is_number()) return false;
      const Range& range = container.as<Range>();
      const Value whole = item.is(Type::kFloat) ? make_integer(BigInt::from_double(to_double(item))) : item;
      if (!whole.is_small_integer() || !equals(whole, item) || range.length == 0) return false;
      const int64_t value = whole.integer_value();
      if (range.step > 0 ? value < range.begin || value >= range.end : value > range.begin || value <= range.end)
        return false;
      return (value - range.begin) % range.step == 0;
    }
    case Type::kBytes: {
      const std::string& bytes = container.as<Bytes>().bytes;
      runtime.budget.bytes(static_cast<int64_t>(bytes.size()));
      runtime.budget.bytes(static_cast<int64_t>(bytes.size()));
      if (item.is(Type::kBytes)) return find_first(bytes, item.as<Bytes>().bytes) != std::string::npos;
      const int64_t byte = index_value(item, "bytes");
      if (byte < 0 || byte > 255) raise_type("byte must be in range(0, 256)");
      return bytes.find(static_cast<char>(byte)) != std::string::npos;
    }
    case Type::kUndefined:
    case Type::kIterator:
      break;
    default:
      if (is_iterable(container)) break;  // a loop
      raise_type("argument of type '{}' is not iterable", type_name(container));
  }
  const std::shared_ptr<Iterator> iterator = make_iterator(runtime, container);
  Value element;
  while (iterator->next(runtime, element)) {
    if (identical(element, item) || equal(runtime, element, item)) return true;
  }
  return false;
}

bool compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEq:
      return equal(runtime, a, b);
    case CompareOp::kNe:
      return !equal(runtime, a, b);
    case CompareOp::kIn:
      return contains(runtime, b, a);
    case CompareOp::kNotIn:
      return !contains(runtime, b, a);
    default:
      return ordered(runtime, op, a, b);
  }
}

bool less(Runtime& runtime, const Value& a, const Value& b) { return ordered(runtime, CompareOp::kLt, a, b); }

Value negate(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  if (value.is(Type::kFloat)) return Value::real(-value.real_value());
  if (value.is_integral()) return arithmetic(runtime, BinaryOp::kSub, Value::integer(0), value);
  raise_type("bad operand type for unary -: '{}'", type_name(value));
}

Value plus(Runtime&, const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  if (value.is(Type::kBool)) return Value::integer(value.integer_value());
  if (value.is_number()) return value;
  raise_type("bad operand type for unary +: '{}'", type_name(value));
}

int64_t index_value(const Value& value, std::string_view what) {
  if (value.is_small_integer()) return value.integer_value();
  if (value.is(Type::kBigInt)) raise_limit("{}: an integer is too large", what);
  raise_type("{}: '{}' object cannot be interpreted as an integer", what, type_name(value));
}

}  // namespace duet::jinja
