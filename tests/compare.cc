#include "tests/compare.h"

#include <fmt/core.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

namespace duet::test {
namespace {

testing::AssertionResult wrong_size(size_t actual, size_t expected, const char* what) {
  return testing::AssertionFailure() << what << " has " << actual << " values, expected " << expected;
}

/// How far out of bounds one pair is, in bounds: at most 1 when it is close, infinite for what no bound allows.
double excess(float actual, float expected, double bound) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  if (!std::isfinite(actual) || !std::isfinite(expected)) return kNever;
  const double error = std::fabs(static_cast<double>(actual) - static_cast<double>(expected));
  if (error == 0) return 0;
  return bound == 0 ? kNever : error / bound;
}

testing::AssertionResult compare(std::span<const float> actual, std::span<const float> expected,
                                 const std::function<double(size_t)>& bound_of) {
  if (actual.size() != expected.size()) return wrong_size(actual.size(), expected.size(), "the actual side");
  size_t worst = 0;
  size_t out_of_bounds = 0;
  double worst_excess = -1;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double bound = bound_of(i);
    if (!std::isfinite(bound) || bound < 0) {
      return testing::AssertionFailure() << fmt::format("the bound at index {} is {}", i, bound);
    }
    const double distance = excess(actual[i], expected[i], bound);
    if (distance > 1) ++out_of_bounds;
    if (distance > worst_excess) {
      worst_excess = distance;
      worst = i;
    }
  }
  if (out_of_bounds == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << fmt::format(
             "{} of {} values out of bounds, worst at index {}: actual {:.9g}, expected {:.9g}, bound {:.9g}",
             out_of_bounds, actual.size(), worst, actual[worst], expected[worst], bound_of(worst));
}

}  // namespace

testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected, double bound) {
  if (!std::isfinite(bound) || bound < 0) return testing::AssertionFailure() << "the bound is " << bound;
  return compare(actual, expected, [bound](size_t) { return bound; });
}

testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected,
                                   std::span<const double> bounds) {
  if (bounds.size() != expected.size()) return wrong_size(bounds.size(), expected.size(), "the list of bounds");
  return compare(actual, expected, [bounds](size_t i) { return bounds[i]; });
}

testing::AssertionResult all_close(std::span<const float> actual, std::span<const float> expected,
                                   std::span<const float> bounds) {
  if (bounds.size() != expected.size()) return wrong_size(bounds.size(), expected.size(), "the list of bounds");
  return compare(actual, expected, [bounds](size_t i) { return static_cast<double>(bounds[i]); });
}

testing::AssertionResult same_bits(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size()) return wrong_size(actual.size(), expected.size(), "the actual side");
  size_t first = 0;
  size_t different = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const bool same = std::isnan(expected[i])
                          ? std::isnan(actual[i])
                          : std::bit_cast<uint32_t>(actual[i]) == std::bit_cast<uint32_t>(expected[i]);
    if (!same && different++ == 0) first = i;
  }
  if (different == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << fmt::format(
             "{} of {} values differ, first at index {}: actual {:.9g} (0x{:08x}), expected {:.9g} (0x{:08x})",
             different, actual.size(), first, actual[first], std::bit_cast<uint32_t>(actual[first]), expected[first],
             std::bit_cast<uint32_t>(expected[first]));
}

}  // namespace duet::test
