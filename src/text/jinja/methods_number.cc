// Methods and attributes of int and float.

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "text/jinja/iterators.h"
#include "text/jinja/methods.h"
#include "text/jinja/number_methods.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/signature.h"
#include "text/jinja/text_form.h"
#include "text/jinja/text_search.h"

namespace duet::jinja {
namespace {

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
  runtime.budget.items(200);
  while (value != std::floor(value) && exponent < 1074) {
    value *= 2;
    ++exponent;
  }
  return runtime.tuple({make_integer(BigInt::from_double(value)),
                        arithmetic(runtime, BinaryOp::kPow, Value::integer(2), Value::integer(exponent))});
}

// Integers as bytes

/// byteorder of to_bytes and from_bytes
bool is_little(const Bound& bound, size_t index) {
  if (!bound.has(index)) return false;
  const std::string& order = bound.text(index).text();
  if (order != "little" && order != "big") raise_type("byteorder must be either 'little' or 'big'");
  return order == "little";
}

BigInt power_of_256(int64_t exponent) {
  return BigInt::parse("1" + std::string(static_cast<size_t>(exponent) * 2, '0'), 16).value();
}

Value to_bytes(Runtime& runtime, const Value& self, Args& args) {
  if (args.positional.size() > 2) raise_type("to_bytes() takes at most 2 positional arguments");
  const Bound bound(args, "to_bytes", {"length", "byteorder", "signed"}, 0);
  const int64_t length = bound.integer(0, 1);
  const bool little = is_little(bound, 1), with_sign = bound.truth(2, false);
  if (length < 0) raise_type("length argument must be non-negative");
  runtime.budget.check_size(length);
  BigInt value = to_bigint(self);
  if (value.negative() && !with_sign) raise_limit("can't convert negative int to unsigned");
  // -2^(n-1) has n bits and fits n bits with a sign; 2^(n-1) does not.
  const int64_t bits = value.negative() ? (value + BigInt(1)).bits() : value.bits();
  if (bits > length * 8 - (with_sign ? 1 : 0) && !(value.zero() && length == 0)) raise_limit("int too big to convert");
  runtime.budget.bytes(length * 16);
  if (value.negative()) value = value + power_of_256(length);
  std::string digits = value.zero() ? "" : value.to_string(16);
  digits.insert(0, static_cast<size_t>(length) * 2 - digits.size(), '0');
  std::string out;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < digits.size(); i += 2)
    out += static_cast<char>(static_cast<unsigned char>(digit(digits[i]) * 16 + digit(digits[i + 1])));
  if (little) std::reverse(out.begin(), out.end());
  return make_object<Bytes>(Type::kBytes, &runtime.budget, std::move(out));
}

/// The bytes of an argument: bytes, or whatever gives integers below 256.
std::string bytes_of(Runtime& runtime, const Value& value) {
  if (value.is(Type::kBytes)) return value.as<Bytes>().bytes;
  if (value.is_string()) raise_type("cannot convert 'str' object to bytes");
  std::string out;
  for (const Value& item : collect(runtime, value)) {
    const int64_t byte = index_value(item, "bytes");
    if (byte < 0 || byte > 255) raise_type("bytes must be in range(0, 256)");
    out += static_cast<char>(static_cast<unsigned char>(byte));
  }
  return out;
}

Value from_bytes(Runtime& runtime, const Value& self, Args& args) {
  if (args.positional.size() > 2) raise_type("from_bytes() takes at most 2 positional arguments");
  const Bound bound(args, "from_bytes", {"bytes", "byteorder", "signed"}, 1);
  const bool little = is_little(bound, 1), with_sign = bound.truth(2, false);
  std::string bytes = bytes_of(runtime, bound[0]);
  if (little) std::reverse(bytes.begin(), bytes.end());
  const auto length = static_cast<int64_t>(bytes.size());
  if (length * 8 > runtime.budget.limits().max_integer_bits) raise_limit("an integer of {} bytes", length);
  runtime.budget.bytes(length * 16);
  std::string digits;
  for (const char c : bytes) digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
  BigInt value = digits.empty() ? BigInt() : BigInt::parse(digits, 16).value();
  if (with_sign && !bytes.empty() && static_cast<unsigned char>(bytes[0]) >= 0x80) value = value - power_of_256(length);
  return self.is(Type::kBool) ? Value::boolean(!value.zero()) : make_integer(value);
}

/// float.fromhex: [sign] [0x] digits [. digits] [p exponent], inf or nan
Value from_hex(Runtime& runtime, const Value&, Args& args) {
  const Bound bound(args, "fromhex", {"/string"}, 1);
  const std::string& text = bound.text(0).text();
  runtime.budget.bytes(static_cast<int64_t>(text.size()) * 4);
  std::string rest;
  for (const char c : strip_start(strip_end(text))) rest += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  const bool minus = rest.starts_with('-');
  if (minus || rest.starts_with('+')) rest.erase(0, 1);
  const double sign = minus ? -1 : 1;
  if (rest == "nan") return Value::real(std::copysign(std::nan(""), sign));
  if (rest == "inf" || rest == "infinity") return Value::real(sign * HUGE_VAL);
  if (rest.starts_with("0x")) rest.erase(0, 2);
  constexpr std::string_view kHex = "0123456789abcdef", kDecimal = "0123456789";
  size_t at = std::min(rest.find_first_not_of(kHex), rest.size());
  size_t digits = at;
  if (at < rest.size() && rest[at] == '.') {
    const size_t end = std::min(rest.find_first_not_of(kHex, at + 1), rest.size());
    digits += end - at - 1;
    at = end;
  }
  bool good = digits > 0;
  if (at < rest.size() && rest[at] == 'p') {
    ++at;
    if (at < rest.size() && (rest[at] == '-' || rest[at] == '+')) ++at;
    const size_t end = std::min(rest.find_first_not_of(kDecimal, at), rest.size());
    good = good && end > at;
    at = end;
  }
  if (!good || at != rest.size()) raise_type("invalid hexadecimal floating-point string");
  const double value = std::strtod(("0x" + rest).c_str(), nullptr);
  if (std::isinf(value)) raise_limit("hexadecimal value too large to represent as a float");
  return Value::real(sign * value);
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
    {"to_bytes", to_bytes},
    {"from_bytes", from_bytes},
    {"bit_length",
     [](Runtime&, const Value& self, Args& args) {
       const Bound bound(args, "bit_length", {}, 0);
       return Value::integer(to_bigint(self).bits());
     }},
    {"bit_count",
     [](Runtime& rt, const Value& self, Args& args) {
       const Bound bound(args, "bit_count", {}, 0);
       const BigInt value = to_bigint(self);
       rt.budget.bytes(value.bits() * 4);
       const std::string digits = value.to_string(16);
       int64_t count = 0;
       for (const char c : digits)
         count += c == '-' ? 0 : __builtin_popcount(static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10));
       return Value::integer(count);
     }},
};

const MethodEntry kFloatMethods[] = {
    {"fromhex", from_hex},
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

}  // namespace

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

}  // namespace duet::jinja
