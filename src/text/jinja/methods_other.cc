#include <cmath>

#include "text/jinja/attributes.h"
#include "text/jinja/iterators.h"
#include "text/jinja/methods.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"

namespace duet::jinja {
namespace {

const Value& none_value() {
  static const Value kNone = Value::none();
  return kNone;
}

Value dict_view(Runtime& runtime, const Value& self, Args& args, DictView::Part part, std::string_view name) {
  const Bound bound(args, name, {}, 0);
  check_depth(runtime.budget, self.depth() + 1);
  return make_object<DictView>(Type::kDictView, self, part);
}

const MethodEntry kDictMethods[] = {
    {"get",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "get", {"/key", "/default"}, 1);
       rt.budget.items(bound[0].is(Type::kTuple) ? 1000 : 1);
       const Value* found = self.as<Dict>().find(bound[0]);
       return found != nullptr ? *found : bound.get(1, none_value());
     }},
    {"items", [](Runtime& rt, const Value& self,
                 Args& args) { return dict_view(rt, self, args, DictView::Part::kItems, "items"); }},
    {"keys", [](Runtime& rt, const Value& self,
                Args& args) { return dict_view(rt, self, args, DictView::Part::kKeys, "keys"); }},
    {"values", [](Runtime& rt, const Value& self,
                  Args& args) { return dict_view(rt, self, args, DictView::Part::kValues, "values"); }},
    {"copy",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "copy", {}, 0);
       auto dict = std::make_shared<Dict>();
       for (const auto& [key, value] : self.as<Dict>().entries()) dict->set(key, value);
       dict->seal(rt.budget);
       return Value(Type::kDict, std::move(dict));
     }},
    {"fromkeys", [](Runtime& rt, const Value&, Args& args) { return dict_from_keys(rt, args); }},
};

Value sequence_index(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "index", {"/value", "/start", "/stop"}, 1);
  const int64_t length = length_of(runtime, self);
  const auto clamp = [&](size_t at, int64_t absent) {
    int64_t v = bound.integer(at, absent);
    if (v < 0) v = std::max<int64_t>(0, v + length);
    return std::min(v, length);
  };
  for (int64_t i = clamp(1, 0), stop = clamp(2, length); i < stop; ++i) {
    runtime.budget.items(1);
    const Value item =
        self.is(Type::kRange) ? Value::integer(self.as<Range>().at(i)) : self.items()[static_cast<size_t>(i)];
    if ((item.object() != nullptr && identical(item, bound[0])) || equal(runtime, item, bound[0]))
      return Value::integer(i);
  }
  raise_type("{} is not in {}", to_repr(runtime, bound[0]), type_name(self));
}

Value sequence_count(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "count", {"/value"}, 1);
  int64_t count = 0;
  const auto iterator = make_iterator(runtime, self);
  Value item;
  while (iterator->next(runtime, item)) {
    if ((item.object() != nullptr && identical(item, bound[0])) || equal(runtime, item, bound[0])) ++count;
  }
  return Value::integer(count);
}

const MethodEntry kSequenceMethods[] = {
    {"index", sequence_index},
    {"count", sequence_count},
};

const MethodEntry kListMethods[] = {
    {"copy",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "copy", {}, 0);
       return rt.list(self.items());
     }},
};

std::string float_hex(double value) {
  if (!std::isfinite(value)) return float_repr(value);
  const std::string sign = std::signbit(value) ? "-" : "";
  if (value == 0) return sign + "0x0.0p+0";
  int exponent = 0;
  double fraction = std::frexp(std::fabs(value), &exponent);  // [0.5, 1)
  --exponent;
  if (exponent < -1022) {
    fraction = std::ldexp(fraction, exponent + 1022);
    exponent = -1022;
  }
  const auto bits = static_cast<uint64_t>(std::ldexp(fraction, 53));
  return sign + fmt::format("0x{}.{:013x}p{}{}", bits >> 52, bits & ((uint64_t{1} << 52) - 1), exponent < 0 ? '-' : '+',
                            std::abs(exponent));
}

Value as_integer_ratio(Runtime& runtime, const Value& self, Args& args) {
  const Bound bound(args, "as_integer_ratio", {}, 0);
  if (self.is_integral()) return runtime.tuple({plus(runtime, self), Value::integer(1)});
  double value = self.real_value();
  truncate_float(value);  // refuses NaN and infinity
  int exponent = 0;
  while (value != std::floor(value) && exponent < 1074) {
    value *= 2;
    ++exponent;
  }
  return runtime.tuple({make_integer(BigInt::from_double(value)),
                        arithmetic(runtime, BinaryOp::kPow, Value::integer(2), Value::integer(exponent))});
}

const MethodEntry kNumberMethods[] = {
    {"conjugate",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "conjugate", {}, 0);
       return plus(rt, self);
     }},
    {"as_integer_ratio", as_integer_ratio},
};

const MethodEntry kIntegerMethods[] = {
    {"bit_length",
     [](Runtime&, const Value& self, Args& args) {
       const Bound bound(args, "bit_length", {}, 0);
       return Value::integer(to_bigint(self).bits());
     }},
    {"bit_count",
     [](Runtime&, const Value& self, Args& args) {
       const Bound bound(args, "bit_count", {}, 0);
       const BigInt value = to_bigint(self);
       const std::string digits = value.to_string(16);
       int64_t count = 0;
       for (const char c : digits)
         count += c == '-' ? 0 : __builtin_popcount(static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10));
       return Value::integer(count);
     }},
};

const MethodEntry kFloatMethods[] = {
    {"is_integer",
     [](Runtime&, const Value& self, Args& args) {
       const Bound bound(args, "is_integer", {}, 0);
       return Value::boolean(std::isfinite(self.real_value()) && self.real_value() == std::floor(self.real_value()));
     }},
    {"hex",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "hex", {}, 0);
       return rt.string(float_hex(self.real_value()));
     }},
};

Value number_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  const bool integral = value.is_integral();
  if (name == "real" || (integral && name == "numerator")) return plus(runtime, value);
  if (name == "imag") return integral ? Value::integer(0) : Value::real(0);
  if (integral && name == "denominator") return Value::integer(1);
  Value method = bound_method(runtime, value, name, kNumberMethods);
  if (!method.is_missing()) return method;
  return integral ? bound_method(runtime, value, name, kIntegerMethods)
                  : bound_method(runtime, value, name, kFloatMethods);
}

}  // namespace

Value dict_from_keys(Runtime& runtime, Args& args) {
  const Bound bound(args, "fromkeys", {"/iterable", "/value"}, 1);
  auto dict = std::make_shared<Dict>();
  for (const Value& key : collect(runtime, bound[0])) dict->set(key, bound.get(1, none_value()));
  dict->seal(runtime.budget);
  return Value(Type::kDict, std::move(dict));
}

Value other_method(Runtime& runtime, const Value& value, std::string_view name) {
  switch (value.type()) {
    case Type::kDict:
      return bound_method(runtime, value, name, kDictMethods);
    case Type::kDictView:
      return name == "mapping" ? value.as<DictView>().dict : Value();
    case Type::kRange:
      if (name == "start") return Value::integer(value.as<Range>().begin);
      if (name == "stop") return Value::integer(value.as<Range>().end);
      if (name == "step") return Value::integer(value.as<Range>().step);
      return bound_method(runtime, value, name, kSequenceMethods);
    case Type::kList: {
      Value method = bound_method(runtime, value, name, kListMethods);
      return method.is_missing() ? bound_method(runtime, value, name, kSequenceMethods) : method;
    }
    case Type::kTuple:
      if (value.as<Sequence>().group && name == "grouper") return value.items()[0];
      if (value.as<Sequence>().group && name == "list") return value.items()[1];
      return bound_method(runtime, value, name, kSequenceMethods);
    case Type::kBool:
    case Type::kInt:
    case Type::kBigInt:
    case Type::kFloat:
      return number_attribute(runtime, value, name);
    default:
      return {};
  }
}

}  // namespace duet::jinja
