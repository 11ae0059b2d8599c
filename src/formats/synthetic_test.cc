#include "formats/synthetic.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "tensor/dtype.h"
#include "tests/support.h"

namespace duet {
namespace {

std::vector<std::byte> read(const ByteSource& source, uint64_t begin, size_t count) {
  std::vector<std::byte> bytes(count);
  source.read_at(begin, bytes);
  return bytes;
}

TEST(Synthetic, AnyPieceHasTheBytesOfTheWhole) {
  const std::vector<SyntheticTensor> tensors = {{"a", {3, 5}, 0, 1}, {"none", {0, 4}, 0, 1}, {"b", {7}, 1, 0.5f}};
  const auto source = synthetic_source(tensors, 5);
  ASSERT_EQ(source->size(), 44u);
  const std::vector<std::byte> all = read(*source, 0, 44);
  for (size_t begin = 0; begin <= 44; ++begin) {
    for (size_t end = begin; end <= 44; ++end) {
      ASSERT_EQ(read(*source, begin, end - begin), std::vector<std::byte>(all.begin() + static_cast<int64_t>(begin),
                                                                          all.begin() + static_cast<int64_t>(end)));
    }
  }
  EXPECT_ERROR(read(*source, 40, 5), ErrorCode::kTruncated, "40");
  EXPECT_ERROR(read(*source, 45, 0), ErrorCode::kTruncated, "45");
}

TEST(Synthetic, ValuesDependOnSeedAndNameAndFillTheirRange) {
  const std::vector<SyntheticTensor> tensors = {{"a", {100, 100}, 2, 0.5f}, {"b", {100, 100}, 2, 0.5f}};
  const auto source = synthetic_source(tensors, 1), other = synthetic_source(tensors, 2);
  const std::vector<std::byte> a = read(*source, 0, 20000), b = read(*source, 20000, 20000);
  EXPECT_NE(a, b);
  EXPECT_NE(a, read(*other, 0, 20000));
  EXPECT_EQ(a, read(*synthetic_source({tensors[0]}, 1), 0, 20000));  // whatever stands beside it
  std::vector<float> values(10000);
  dequantize(DType::kBF16, a.data(), 10000, values.data());
  double sum = 0, squares = 0;
  for (const float v : values) {
    EXPECT_GE(v, 1.5f);
    EXPECT_LE(v, 2.5f);
    sum += static_cast<double>(v - 2), squares += std::pow(static_cast<double>(v - 2), 2);
  }
  EXPECT_NEAR(sum / 10000, 0, 0.015);              // five deviations of the mean
  EXPECT_NEAR(squares / 10000, 0.25 / 3, 0.0040);  // and of the variance
}

}  // namespace
}  // namespace duet
