#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "text/jinja/filter_tables.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/parse_number.h"
#include "text/jinja/printf.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {
namespace {

Value filter_abs(Runtime& runtime, Args& args) {
  const Bound bound(args, "abs", {"/x"}, 1);
  if (!bound[0].is_number()) raise_type("bad operand type for abs(): '{}'", type_name(bound[0]));
  if (bound[0].is(Type::kFloat)) return Value::real(std::fabs(bound[0].real_value()));
  return compare_numbers(bound[0], Value::integer(0)) < 0 ? negate(runtime, bound[0]) : plus(runtime, bound[0]);
}

/// int(value) as far as it exists; missing where Python raises TypeError or ValueError.
Value to_int(Runtime& runtime, const Value& value, const Value& base) {
  if (value.is_string()) {
    if (base.is_undefined() || !base.is_integral()) {
      if (base.is_undefined()) return {};
      return {};
    }
    if (!base.is_small_integer()) return {};
    const std::optional<BigInt> parsed = parse_int(runtime, value.text(), base.integer_value());
    return parsed ? make_integer(*parsed) : Value();
  }
  if (value.is_undefined()) fail_undefined(value);
  if (value.is_integral()) return plus(runtime, value);
  if (value.is(Type::kFloat)) return std::isnan(value.real_value()) ? Value() : truncate_float(value.real_value());
  if (value.is(Type::kBytes)) {
    const std::optional<BigInt> parsed = parse_int(runtime, value.as<Bytes>().bytes, 10);
    return parsed ? make_integer(*parsed) : Value();
  }
  return {};
}

std::optional<double> to_float(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  if (value.is_string()) runtime.budget.bytes(static_cast<int64_t>(value.text().size()) * 16);
  if (value.is_string()) return parse_float(value.text());
  if (value.is(Type::kBytes)) return parse_float(value.as<Bytes>().bytes);
  if (value.is_number()) return float_of(value);
  return std::nullopt;
}

Value filter_int(Runtime& runtime, Args& args) {
  const Bound bound(args, "int", {"value", "default", "base"}, 1);
  Value absent = bound.get(1, Value::integer(0));
  Value direct = to_int(runtime, bound[0], bound.get(2, Value::integer(10)));
  if (!direct.is_missing()) return direct;
  try {
    const std::optional<double> number = to_float(runtime, bound[0]);
    if (!number || !std::isfinite(*number)) return absent;
    return truncate_float(*number);
  } catch (const TemplateError& error) {
    if (error.kind() != TemplateErrorKind::kLimit) throw;
    return absent;  // Python's OverflowError
  }
}

Value filter_float(Runtime& runtime, Args& args) {
  const Bound bound(args, "float", {"value", "default"}, 1);
  const std::optional<double> number = to_float(runtime, bound[0]);
  return number ? Value::real(*number) : bound.get(1, Value::real(0));
}

Value round_integer(Runtime& runtime, const Value& value, int64_t digits) {
  Value whole = plus(runtime, value);
  if (digits >= 0) return whole;
  if (digits < -runtime.budget.limits().max_integer_bits) return Value::integer(0);
  const Value unit = power_of_ten(runtime, -digits);
  // Half to even: floor of the quotient, then up if the rest is more than half, or half and the quotient odd.
  const Value quotient = arithmetic(runtime, BinaryOp::kFloorDiv, whole, unit);
  const Value rest = arithmetic(runtime, BinaryOp::kMod, whole, unit);
  const int half = compare_numbers(arithmetic(runtime, BinaryOp::kMul, rest, Value::integer(2)), unit);
  const bool odd = !equals(arithmetic(runtime, BinaryOp::kMod, quotient, Value::integer(2)), Value::integer(0));
  const bool up = half > 0 || (half == 0 && odd);
  return arithmetic(runtime, BinaryOp::kMul, arithmetic(runtime, BinaryOp::kAdd, quotient, Value::integer(up ? 1 : 0)),
                    unit);
}

Value filter_round(Runtime& runtime, Args& args) {
  const Bound bound(args, "round", {"value", "precision", "method"}, 1);
  const std::string method = bound.has(2) && bound[2].is_string() ? bound[2].text() : "common";
  if (bound.has(2) && !bound[2].is_string()) hash_value(bound[2]);  // looked up in a set
  if ((bound.has(2) && !bound[2].is_string()) || (method != "common" && method != "ceil" && method != "floor")) {
    raise(TemplateErrorKind::kRuntime, "method must be common, ceil or floor");
  }
  const Value& value = bound[0];
  const Value precision = bound.get(1, Value::integer(0));
  if (method == "common") {
    if (value.is_undefined()) raise_type("type Undefined doesn't define __round__ method");
    if (!value.is_number()) raise_type("type {} doesn't define __round__ method", type_name(value));
    if (precision.is_none()) {
      if (value.is(Type::kFloat)) return truncate_float(round_float(value.real_value(), 0));
      return plus(runtime, value);
    }
    const int64_t digits = index_value(precision, "round");
    if (value.is(Type::kFloat)) return Value::real(round_float(value.real_value(), digits));
    return round_integer(runtime, value, digits);
  }
  const Value scale = binary(runtime, BinaryOp::kPow, Value::integer(10), precision);
  const Value scaled = binary(runtime, BinaryOp::kMul, value, scale);
  if (!scaled.is_number()) raise_type("must be real number, not {}", type_name(scaled));
  Value whole = scaled;
  if (scaled.is(Type::kFloat)) {
    whole = truncate_float(method == "ceil" ? std::ceil(scaled.real_value()) : std::floor(scaled.real_value()));
  }
  return binary(runtime, BinaryOp::kDiv, whole, binary(runtime, BinaryOp::kPow, Value::integer(10), precision));
}

Value filter_filesizeformat(Runtime& runtime, Args& args) {
  const Bound bound(args, "filesizeformat", {"value", "binary"}, 1);
  const std::optional<double> number = to_float(runtime, bound[0]);
  if (!number) {
    if (bound[0].is_string()) raise_type("could not convert string to float: {}", string_repr(bound[0].text()));
    raise_type("float() argument must be a string or a real number, not '{}'", type_name(bound[0]));
  }
  const bool powers_of_two = bound.truth(1, false);
  const double base = powers_of_two ? 1024 : 1000;
  if (*number == 1) return runtime.string("1 Byte");
  if (*number < base) {
    return runtime.string(to_text(runtime, truncate_float(*number)) + " Bytes");
  }
  double unit = base;
  std::string text;
  for (const char prefix : std::string_view("kMGTPEZY")) {
    unit *= base;
    const std::string name =
        powers_of_two ? std::string(1, prefix == 'k' ? 'K' : prefix) + "iB" : std::string(1, prefix) + "B";
    text = format_double(base * *number / unit, {.type = 'f', .precision = 1}) + " " + name;
    if (*number < unit) break;
  }
  return runtime.string(std::move(text));
}

constexpr Builtin kFilters[] = {
    {"abs", filter_abs},     {"filesizeformat", filter_filesizeformat}, {"float", filter_float}, {"int", filter_int},
    {"round", filter_round},
};

}  // namespace

std::span<const Builtin> number_filters() { return kFilters; }

}  // namespace duet::jinja
