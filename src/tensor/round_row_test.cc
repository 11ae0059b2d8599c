#include "tensor/round_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace duet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> round_trip(DType dtype, const std::vector<float>& x) {
  const auto count = static_cast<int64_t>(x.size());
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(dtype_info(dtype), count)) + 1, std::byte{0xA5});
  round_row(dtype, x.data(), count, bytes.data());
  EXPECT_EQ(bytes.back(), std::byte{0xA5}) << "wrote too far";
  std::vector<float> y(x.size());
  dequantize(dtype, bytes.data(), count, y.data());
  return y;
}

std::vector<float> random_row(uint32_t seed, float size) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, size);
  std::vector<float> x(256);
  for (float& value : x) value = normal(engine);
  return x;
}

TEST(RoundRow, KnowsItsTypes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) EXPECT_TRUE(can_round(dtype));
  for (const DType dtype : {DType::kF64, DType::kQ4_0, DType::kQ8_K, DType::kI8}) EXPECT_FALSE(can_round(dtype));
}

TEST(RoundRow, IsWithinHalfAStep) {
  for (uint32_t seed = 1; seed < 50; ++seed) {
    const std::vector<float> x = random_row(seed, std::ldexp(1.0F, static_cast<int>(seed % 20) - 12));
    EXPECT_EQ(round_trip(DType::kF32, x), x);
    const std::vector<float> f16 = round_trip(DType::kF16, x), bf16 = round_trip(DType::kBF16, x),
                             q8_0 = round_trip(DType::kQ8_0, x);
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_LE(std::fabs(f16[i] - x[i]), std::fabs(x[i]) * 0x1p-11F + 0x1p-25F);
      EXPECT_LE(std::fabs(bf16[i] - x[i]), std::fabs(x[i]) * 0x1p-8F);
      float top = 0.0F;
      for (size_t k = i / 32 * 32; k < i / 32 * 32 + 32; ++k) top = std::max(top, std::fabs(x[k]));
      // Half a step of d <= (1 + 2^-11) top / 127; at the rim d may have been rounded down: 127 steps of 2^-11 d.
      EXPECT_LE(std::fabs(q8_0[i] - x[i]), top / 127.0F * 0.5011F + 0x1p-18F) << i;
    }
  }
}

TEST(RoundRow, TiesOfBytesGoToEven) {
  std::vector<float> x(32, 0.0F);
  x[0] = 127.0F;  // d = 1
  x[1] = 2.5F;
  x[2] = 3.5F;
  x[3] = -2.5F;
  x[4] = -0.5F;
  const std::vector<float> y = round_trip(DType::kQ8_0, x);
  EXPECT_EQ(y[0], 127.0F);
  EXPECT_EQ(y[1], 2.0F);
  EXPECT_EQ(y[2], 4.0F);
  EXPECT_EQ(y[3], -2.0F);
  EXPECT_EQ(y[4], 0.0F);
}

TEST(RoundRow, ExtremesOfBytes) {
  std::vector<float> x(96, 0.0F);
  x[0] = 1e-6F;  // the scale is subnormal: quotients are cut at 127
  x[1] = -1e-6F;
  x[33] = 0x1p-140F;  // the scale is 0
  x[64] = 8e6F;       // the largest scale
  const std::vector<float> y = round_trip(DType::kQ8_0, x);
  EXPECT_NEAR(y[0], 1e-6F, 127 * 0x1p-25F);
  EXPECT_EQ(y[0], -y[1]);
  EXPECT_EQ(y[33], 0.0F);
  EXPECT_NEAR(y[64], 8e6F, 8e6F / 250);
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 1e30F}) {
    std::vector<float> block(64, 1.0F);
    block[7] = bad;
    const std::vector<float> z = round_trip(DType::kQ8_0, block);
    for (size_t i = 0; i < 32; ++i) EXPECT_TRUE(std::isnan(z[i])) << bad << " " << i;
    for (size_t i = 32; i < 64; ++i) EXPECT_NEAR(z[i], 1.0F, 0.001F);
  }
}

}  // namespace
}  // namespace duet
