#pragma once

#include <gtest/gtest.h>

#include <span>

namespace duet::test {

/// Whether `actual` has as many values as `expected` and each differs from its counterpart by at most `bound` (measured
/// in float64). A NaN or an infinity on either side fails: a comparison must not pass because both sides are broken; so
/// does a bound that is negative or not finite. A wrong sign fails unless both values lie within the bound of zero. The
/// message gives the number of values out of bounds and the worst index (most times its bound) with both values.
testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected, double bound);

/// The same with a bound for each element; `bounds` has the size of `expected`.
testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected,
                                   std::span<const double> bounds);
testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected,
                                   std::span<const float> bounds);

/// Whether both hold the same float32 bits, the sign of zero included; any NaN equals any NaN.
testing::AssertionResult same_bits(std::span<const float> actual, std::span<const float> expected);

}  // namespace duet::test
