#include "tensor/integer_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/compare.h"

namespace duet {
namespace {

TEST(IntegerBlocks, TimesScalePlusMinimumAreTheWeightsBitForBit) {
  int types = 0;
  for (int id = 0; id < 200; ++id) {
    const auto dtype = static_cast<DType>(id);
    if (!can_dequantize(dtype)) continue;
    const DTypeInfo& info = dtype_info(dtype);
    const IntegerForm form = integer_form(dtype);
    EXPECT_EQ(form.scales > 0, info.block_size > 1) << info.name;
    if (form.scales == 0) continue;
    ++types;
    constexpr int64_t kElements = 256 * 64;
    std::mt19937 random(7);
    std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(info, kElements)));
    // Exponents below the top: the product of an infinite scale and 0 has no one spelling.
    for (std::byte& b : blocks) b = static_cast<std::byte>(random() & (random() % 4 == 0 ? 0xBF : 0x3F));
    std::vector<float> expected(kElements), actual(kElements);
    dequantize(dtype, blocks.data(), kElements, expected.data());
    std::vector<IntegerBlock> integers(kElements / kIntegerColumns);
    decode_integers(dtype, blocks.data(), kElements, integers.data());
    int largest = 0;
    for (int64_t i = 0; i < kElements; ++i) {
      const IntegerBlock& block = integers[static_cast<size_t>(i / 32)];
      const auto half = static_cast<size_t>(i % 32 / 16);
      const int q = block.q[i % 32];
      largest = std::max(largest, std::abs(q));
      float w = block.scale[half] * static_cast<float>(q);
      if (form.minimums > 0) w += block.minimum[half];
      actual[static_cast<size_t>(i)] = w;
      if (form.scales == 1) {
        EXPECT_EQ(block.scale[0], block.scale[1]);
      }
      if (form.minimums < 2) {
        EXPECT_EQ(block.minimum[0], block.minimum[1]);
      }
      if (form.minimums == 0) {
        EXPECT_EQ(block.minimum[0], 0.0f);
      }
    }
    EXPECT_TRUE(test::same_bits(actual, expected)) << info.name;
    EXPECT_GT(largest, 0) << info.name;
  }
  EXPECT_EQ(types, 27);
}

}  // namespace
}  // namespace duet
