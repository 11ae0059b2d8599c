#include "text/jinja/numbers.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace duet::jinja {
namespace {

void check_bits(Runtime& runtime, int64_t bits) {
  const int64_t limit = runtime.budget.limits().max_integer_bits;
  if (bits > limit) raise_limit("an integer of {} bits is above the limit of {} bits", bits, limit);
}

Value multiply(Runtime& runtime, const BigInt& a, const BigInt& b) {
  check_bits(runtime, a.bits() + b.bits());
  runtime.budget.bytes((a.bits() / 32) * (b.bits() / 32));
  return make_integer(a * b);
}

/// Nearest double to a / b. Precondition: b is not zero.
double divide_exactly(const BigInt& a, const BigInt& b) {
  const int64_t gap = a.bits() - b.bits();
  if (gap > 1026) raise_limit("integer division result too large for a float");
  if (gap < -1200 || a.zero()) return a.negative() != b.negative() && !a.zero() ? -0.0 : 0.0;
  // A quotient of at least 66 bits whose last bit stands for all that follow rounds as the exact one would.
  const int64_t shift = std::max<int64_t>(0, 66 - gap);
  BigInt scaled = a;
  for (int64_t left = shift; left > 0; left -= 1000) {
    scaled = scaled * BigInt::from_double(std::ldexp(1.0, static_cast<int>(std::min<int64_t>(left, 1000))));
  }
  BigInt quotient, remainder;
  const bool negative = a.negative() != b.negative();
  BigInt::floor_divide(scaled.negative() ? -scaled : scaled, b.negative() ? -b : b, quotient, remainder);
  quotient = quotient + quotient;
  if (!remainder.zero()) quotient = quotient + BigInt(1);
  // Larger quotients are brought below 2^1024 by the scale: shift is 0 only for gaps above 66.
  const double magnitude = quotient.bits() > 1024 ? std::numeric_limits<double>::infinity()
                                                  : std::ldexp(quotient.to_double(), static_cast<int>(-shift - 1));
  if (std::isinf(magnitude)) raise_limit("integer division result too large for a float");
  return negative ? -magnitude : magnitude;
}

Value integer_power(Runtime& runtime, const Value& base, const Value& exponent) {
  const BigInt power = to_bigint(exponent);
  BigInt factor = to_bigint(base);
  if (power.zero()) return Value::integer(1);
  if (factor.bits() <= 1) {  // 0, 1 and -1 to any power
    if (factor.zero() || !factor.negative()) return make_integer(factor);
    BigInt quotient, remainder;
    BigInt::floor_divide(power, BigInt(2), quotient, remainder);
    return Value::integer(remainder.zero() ? 1 : -1);
  }
  const int64_t limit = runtime.budget.limits().max_integer_bits;
  if (!power.fits_int64() || power.to_int64() > limit) raise_limit("the power is above the limit of {} bits", limit);
  int64_t left = power.to_int64();
  check_bits(runtime, (factor.bits() - 1) * left);
  BigInt result(1);
  while (true) {
    if ((left & 1) != 0) result = to_bigint(multiply(runtime, result, factor));
    left >>= 1;
    if (left == 0) return make_integer(result);
    factor = to_bigint(multiply(runtime, factor, factor));
  }
}

Value float_power(double a, double b) {
  if (a == 0 && b < 0) raise_type("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
    raise_type("a complex number is not supported: {} ** {}", a, b);
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) raise_limit("Result too large: {} ** {}", a, b);
  return Value::real(result);
}

/// Python's divmod of floats: the quotient is floored, the remainder has the sign of the divisor.
void float_divmod(double a, double b, double& quotient, double& remainder) {
  if (b == 0) raise_type("float division by zero");
  remainder = std::fmod(a, b);
  double division = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      division -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (division != 0) {
    quotient = std::floor(division);
    if (division - quotient > 0.5) quotient += 1;
  } else {
    quotient = std::copysign(0.0, a / b);
  }
}

Value float_arithmetic(BinaryOp op, double a, double b) {
  double quotient = 0, remainder = 0;
  switch (op) {
    case BinaryOp::kAdd:
      return Value::real(a + b);
    case BinaryOp::kSub:
      return Value::real(a - b);
    case BinaryOp::kMul:
      return Value::real(a * b);
    case BinaryOp::kDiv:
      if (b == 0) raise_type("float division by zero");
      return Value::real(a / b);
    case BinaryOp::kFloorDiv:
      float_divmod(a, b, quotient, remainder);
      return Value::real(quotient);
    case BinaryOp::kMod:
      float_divmod(a, b, quotient, remainder);
      return Value::real(remainder);
    case BinaryOp::kPow:
      return float_power(a, b);
  }
  return {};
}

bool is_zero(const Value& integral) { return integral.is_small_integer() && integral.integer_value() == 0; }

Value integer_division(BinaryOp op, const Value& a, const Value& b) {
  if (is_zero(b)) raise_type("division by zero");
  constexpr int64_t kExact = int64_t{1} << 53;
  if (a.is_small_integer() && b.is_small_integer()) {
    const int64_t x = a.integer_value(), y = b.integer_value();
    if (op == BinaryOp::kDiv && x <= kExact && x >= -kExact && y <= kExact && y >= -kExact) {
      return Value::real(static_cast<double>(x) / static_cast<double>(y));
    }
    if (op != BinaryOp::kDiv && !(x == INT64_MIN && y == -1)) {
      int64_t quotient = x / y, remainder = x % y;
      if (remainder != 0 && (remainder < 0) != (y < 0)) {
        --quotient;
        remainder += y;
      }
      return Value::integer(op == BinaryOp::kMod ? remainder : quotient);
    }
  }
  if (op == BinaryOp::kDiv) return Value::real(divide_exactly(to_bigint(a), to_bigint(b)));
  BigInt quotient, remainder;
  BigInt::floor_divide(to_bigint(a), to_bigint(b), quotient, remainder);
  return make_integer(op == BinaryOp::kMod ? remainder : quotient);
}

}  // namespace

double float_of(const Value& number) {
  const double value = to_double(number);
  if (std::isinf(value) && !number.is(Type::kFloat)) raise_limit("int too large to convert to float");
  return value;
}

Value truncate_float(double value) {
  if (std::isnan(value)) raise_type("cannot convert float NaN to integer");
  if (std::isinf(value)) raise_limit("cannot convert float infinity to integer");
  return make_integer(BigInt::from_double(value));
}

Value arithmetic(Runtime& runtime, BinaryOp op, const Value& a, const Value& b) {
  if (a.is(Type::kFloat) || b.is(Type::kFloat)) return float_arithmetic(op, float_of(a), float_of(b));
  if (op == BinaryOp::kDiv || op == BinaryOp::kFloorDiv || op == BinaryOp::kMod) {
    runtime.budget.bytes(a.is(Type::kBigInt) ? to_bigint(a).bits() * 8 : 0);
    if (a.is(Type::kBigInt) && b.is(Type::kBigInt)) {
      runtime.budget.bytes((to_bigint(a).bits() / 32) * (to_bigint(b).bits() / 32));
    }
    return integer_division(op, a, b);
  }
  if (op == BinaryOp::kPow) {
    if (to_bigint(b).negative()) return float_power(float_of(a), float_of(b));
    return integer_power(runtime, a, b);
  }
  if (a.is_small_integer() && b.is_small_integer()) {
    int64_t result = 0;
    const int64_t x = a.integer_value(), y = b.integer_value();
    const bool overflow = op == BinaryOp::kAdd   ? __builtin_add_overflow(x, y, &result)
                          : op == BinaryOp::kSub ? __builtin_sub_overflow(x, y, &result)
                                                 : __builtin_mul_overflow(x, y, &result);
    if (!overflow) return Value::integer(result);
  }
  const BigInt x = to_bigint(a), y = to_bigint(b);
  if (op == BinaryOp::kMul) return multiply(runtime, x, y);
  runtime.budget.bytes((x.bits() + y.bits()) / 8);
  check_bits(runtime, std::max(x.bits(), y.bits()) + 1);
  return make_integer(op == BinaryOp::kAdd ? x + y : x - y);
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_small_integer() && b.is_small_integer()) {
    return a.integer_value() < b.integer_value() ? -1 : a.integer_value() > b.integer_value() ? 1 : 0;
  }
  if (a.is(Type::kFloat) && b.is(Type::kFloat)) {
    const double x = a.real_value(), y = b.real_value();
    return std::isnan(x) || std::isnan(y) ? 2 : x < y ? -1 : x > y ? 1 : 0;
  }
  if (b.is(Type::kFloat)) return std::isnan(b.real_value()) ? 2 : BigInt::compare(to_bigint(a), b.real_value());
  if (a.is(Type::kFloat)) return std::isnan(a.real_value()) ? 2 : -BigInt::compare(to_bigint(b), a.real_value());
  return BigInt::compare(to_bigint(a), to_bigint(b));
}

double round_float(double value, int64_t digits) {
  if (!std::isfinite(value)) return value;
  // Beyond these the digits of a double end, or nothing but zero is left (CPython, float___round___impl).
  if (digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  char buffer[700];
  if (digits >= 0) {
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
  } else {
    // %e rounds the exact binary value; the number of digits kept depends on the size of the value.
    const int exponent = value == 0 ? 0 : static_cast<int>(std::floor(std::log10(std::fabs(value))));
    const int64_t kept = exponent + digits;
    if (kept < -1) return std::copysign(0.0, value);
    if (kept < 0) {
      const double unit = std::pow(10.0, static_cast<double>(-digits));
      return std::copysign(std::fabs(value) > unit / 2 ? unit : 0.0, value);
    }
    std::snprintf(buffer, sizeof buffer, "%.*e", static_cast<int>(kept), value);
  }
  const double rounded = std::strtod(buffer, nullptr);
  if (std::isinf(rounded)) raise_limit("rounded value too large to represent");
  return rounded;
}

Value power_of_ten(Runtime& runtime, int64_t exponent) {
  return arithmetic(runtime, BinaryOp::kPow, Value::integer(10), Value::integer(exponent));
}

}  // namespace duet::jinja
