#include "tests/compare.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace duet::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Floats = std::vector<float>;

void expect_message(const testing::AssertionResult& result, std::initializer_list<const char*> words) {
  EXPECT_FALSE(result);
  for (const char* word : words) {
    EXPECT_NE(std::string(result.message()).find(word), std::string::npos)
        << word << " is not in: " << result.message();
  }
}

TEST(AllClose, AcceptsWhatIsWithinTheBound) {
  EXPECT_TRUE(all_close(Floats{}, Floats{}, 0));
  EXPECT_TRUE(all_close(Floats{1, -2, 0}, Floats{1, -2, -0.0F}, 0));
  EXPECT_TRUE(all_close(Floats{1.25F, -2}, Floats{1, -2.25F}, 0.25));  // exactly at the bound
  EXPECT_TRUE(all_close(Floats{1.25F, 2}, Floats{1, 2}, std::vector<double>{0.25, 0}));
  EXPECT_TRUE(all_close(Floats{1.25F, 2}, Floats{1, 2}, Floats{0.25F, 0}));
}

TEST(AllClose, NamesTheWorstValueAndItsBound) {
  expect_message(all_close(Floats{1, 2, 3.5F, 4.25F}, Floats{1, 2, 3, 4}, 0.125),
                 {"2 of 4", "index 2", "actual 3.5", "expected 3", "bound 0.125"});
  // Worst by its own bound, not by its distance.
  expect_message(all_close(Floats{110, 2.5F}, Floats{100, 2}, std::vector<double>{9, 0.125}),
                 {"2 of 2", "index 1", "actual 2.5", "expected 2,", "bound 0.125"});
  expect_message(all_close(Floats{1, 2}, Floats{1, 2.0000002F}, 0), {"1 of 2", "index 1", "2.00000024"});
  expect_message(all_close(Floats{1, 2}, Floats{1, 3}, Floats{9, 0.5F}), {"index 1", "bound 0.5"});
}

TEST(AllClose, RefusesWhatIsNotFinite) {
  for (const float bad : {kNan, -kNan, kInf, -kInf}) {
    expect_message(all_close(Floats{0, bad}, Floats{0, 1}, 1e30), {"index 1"});
    expect_message(all_close(Floats{0, 1}, Floats{0, bad}, 1e30), {"index 1"});
    expect_message(all_close(Floats{0, bad}, Floats{0, bad}, 1e30), {"index 1"});  // equal and still refused
    expect_message(all_close(Floats{0}, Floats{0}, static_cast<double>(bad)), {"bound is"});
    expect_message(all_close(Floats{0, 0}, Floats{0, 0}, Floats{1, bad}), {"bound at index 1"});
  }
  // No overflow in the difference: 2 max is finite in float64.
  const float max = std::numeric_limits<float>::max();
  EXPECT_FALSE(all_close(Floats{max}, Floats{-max}, 1e38));
}

TEST(AllClose, RefusesWrongSignsSizesAndBounds) {
  expect_message(all_close(Floats{1, -2}, Floats{1, 2}, 1e-3), {"index 1", "actual -2"});
  expect_message(all_close(Floats{1}, Floats{1, 2}, 1), {"has 1 values, expected 2"});
  expect_message(all_close(Floats{1, 2}, Floats{}, 1), {"has 2 values, expected 0"});
  expect_message(all_close(Floats{1, 2}, Floats{1, 2}, Floats{1}), {"list of bounds has 1 values, expected 2"});
  expect_message(all_close(Floats{1, 2}, Floats{1, 2}, std::vector<double>{1, 1, 1}), {"list of bounds has 3"});
  expect_message(all_close(Floats{1}, Floats{1}, -1e-9), {"bound is"});
}

TEST(SameBits, TellsZerosApartAndTakesAnyNan) {
  EXPECT_TRUE(same_bits(Floats{1, -0.0F, kInf, -kNan}, Floats{1, -0.0F, kInf, kNan}));
  EXPECT_TRUE(same_bits(Floats{}, Floats{}));
  expect_message(same_bits(Floats{1, 0.0F}, Floats{1, -0.0F}), {"1 of 2", "index 1", "0x80000000"});
  expect_message(same_bits(Floats{1}, Floats{kNan}), {"1 of 1"});
  expect_message(same_bits(Floats{kNan}, Floats{1}), {"1 of 1"});
  expect_message(same_bits(Floats{1}, Floats{1.0000001F}), {"index 0", "0x3f800001"});
  expect_message(same_bits(Floats{1}, Floats{1, 2}), {"has 1 values, expected 2"});
}

}  // namespace
}  // namespace duet::test
