#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace duet::jinja {

/// Arithmetic of two numbers (int, bool, float) as Python does it.
Value arithmetic(Runtime& runtime, BinaryOp op, const Value& a, const Value& b);
/// -1, 0, 1, or 2 when one of them is NaN
int compare_numbers(const Value& a, const Value& b);
/// float(x) of a number; a limit error for an integer that is too large, as Python's OverflowError.
double float_of(const Value& number);
/// int(x) of a float: type error for NaN, limit error for infinity.
Value truncate_float(double value);
/// round(x, digits) of a float: to the nearest decimal, half to even by the exact binary value.
double round_float(double value, int64_t digits);
Value power_of_ten(Runtime& runtime, int64_t exponent);

}  // namespace duet::jinja
