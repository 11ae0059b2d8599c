#include "text/jinja/attributes.h"
#include "text/jinja/filter_tables.h"
#include "text/jinja/iterators.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_methods.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

Value remainder_is(Runtime& runtime, const Value& value, const Value& divisor, int64_t expected) {
  return Value::boolean(equal(runtime, binary(runtime, BinaryOp::kMod, value, divisor), Value::integer(expected)));
}

template <int64_t kRemainder>
Value test_parity(Runtime& runtime, Args& args) {
  const Bound bound(args, "test", {"value"}, 1);
  return remainder_is(runtime, bound[0], Value::integer(2), kRemainder);
}

Value test_divisible(Runtime& runtime, Args& args) {
  const Bound bound(args, "divisibleby", {"value", "num"}, 2);
  return remainder_is(runtime, bound[0], bound[1], 0);
}

/// A test of the value alone.
template <bool (*kPredicate)(const Value&)>
Value test_value(Runtime&, Args& args) {
  const Bound bound(args, "test", {"value"}, 1);
  return Value::boolean(kPredicate(bound[0]));
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Type::kBool); }
bool is_true(const Value& v) { return v.is(Type::kBool) && v.integer_value() != 0; }
bool is_false(const Value& v) { return v.is(Type::kBool) && v.integer_value() == 0; }
bool is_integer(const Value& v) { return v.is(Type::kInt) || v.is(Type::kBigInt); }
bool is_float(const Value& v) { return v.is(Type::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_text(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is(Type::kDict); }
bool is_escaped(const Value& v) { return v.is_markup(); }
bool is_callable(const Value& v) {
  return v.is_undefined() || (v.is(Type::kObject) && v.object()->callable());  // Undefined has a __call__, too
}
bool is_sequence(const Value& v) {
  switch (v.type()) {
    case Type::kUndefined:
    case Type::kString:
    case Type::kBytes:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kRange:
      return true;
    default:
      return false;
  }
}

template <uint16_t kWanted, uint16_t kOther>
Value test_case(Runtime& runtime, Args& args) {
  const Bound bound(args, "test", {"value"}, 1);
  const std::string text = to_text(runtime, bound[0]);
  runtime.budget.bytes(static_cast<int64_t>(text.size()) * 4);
  return Value::boolean(has_case(text, kWanted, kOther));
}

template <const Builtin* (*kFind)(std::string_view)>
Value test_known(Runtime&, Args& args) {
  const Bound bound(args, "test", {"value"}, 1);
  if (!bound[0].is_string()) hash_value(bound[0]);
  return Value::boolean(bound[0].is_string() && kFind(bound[0].text()) != nullptr);
}

Value test_same(Runtime&, Args& args) {
  const Bound bound(args, "sameas", {"value", "other"}, 2);
  return Value::boolean(identical(bound[0], bound[1]));
}

Value test_in(Runtime& runtime, Args& args) {
  const Bound bound(args, "in", {"value", "seq"}, 2);
  return Value::boolean(contains(runtime, bound[1], bound[0]));
}

template <CompareOp kOp>
Value test_compare(Runtime& runtime, Args& args) {
  const Bound bound(args, "test", {"/a", "/b"}, 2);
  return Value::boolean(compare(runtime, kOp, bound[0], bound[1]));
}

constexpr Builtin kTests[] = {
    {"odd", test_parity<1>},
    {"even", test_parity<0>},
    {"divisibleby", test_divisible},
    {"defined", test_value<is_defined>},
    {"undefined", test_value<is_undefined>},
    {"filter", test_known<find_filter>},
    {"test", test_known<find_test>},
    {"none", test_value<is_none>},
    {"boolean", test_value<is_boolean>},
    {"false", test_value<is_false>},
    {"true", test_value<is_true>},
    {"integer", test_value<is_integer>},
    {"float", test_value<is_float>},
    {"lower", test_case<kLower, kUpper | kTitle>},
    {"upper", test_case<kUpper, kLower | kTitle>},
    {"string", test_value<is_text>},
    {"mapping", test_value<is_mapping>},
    {"number", test_value<is_number>},
    {"sequence", test_value<is_sequence>},
    {"iterable", test_value<is_iterable>},
    {"callable", test_value<is_callable>},
    {"sameas", test_same},
    {"escaped", test_value<is_escaped>},
    {"in", test_in},
    {"==", test_compare<CompareOp::kEq>},
    {"eq", test_compare<CompareOp::kEq>},
    {"equalto", test_compare<CompareOp::kEq>},
    {"!=", test_compare<CompareOp::kNe>},
    {"ne", test_compare<CompareOp::kNe>},
    {">", test_compare<CompareOp::kGt>},
    {"gt", test_compare<CompareOp::kGt>},
    {"greaterthan", test_compare<CompareOp::kGt>},
    {"ge", test_compare<CompareOp::kGtEq>},
    {">=", test_compare<CompareOp::kGtEq>},
    {"<", test_compare<CompareOp::kLt>},
    {"lt", test_compare<CompareOp::kLt>},
    {"lessthan", test_compare<CompareOp::kLt>},
    {"<=", test_compare<CompareOp::kLtEq>},
    {"le", test_compare<CompareOp::kLtEq>},
};

const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  for (const Builtin& builtin : table) {
    if (builtin.name == name) return &builtin;
  }
  return nullptr;
}

}  // namespace

const Builtin* find_test(std::string_view name) { return find_in(kTests, name); }

const Builtin* find_filter(std::string_view name) {
  for (const std::span<const Builtin> table : {sequence_filters(), selection_filters(), text_filters(),
                                               markup_filters(), number_filters(), layout_filters()}) {
    if (const Builtin* found = find_in(table, name); found != nullptr) return found;
  }
  return nullptr;
}

}  // namespace duet::jinja
