#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::Cpu;
using test::Matrix;

uint32_t next_seed() {
  static uint32_t seed = 0;
  return ++seed;
}

std::vector<float> run_linear(const Cpu& cpu, const PackedWeight& weight, std::vector<float> x, std::vector<float> bias,
                              Epilogue epilogue, std::vector<float> out, int64_t rows) {
  Tensor b;
  if (!bias.empty()) b = test::view(bias, Shape{weight.rows()});
  const LinearTerm term = {&weight, b, epilogue, test::view(out, Shape{rows, weight.rows()})};
  cpu->linear(test::view(x, Shape{rows, weight.cols()}), {&term, 1});
  return out;
}

/// y = sum x w (+ bias) (+ out): a chain of n float32 steps is within n eps / (1 - n eps) of sum |x w|, bias and out
/// add one step each; products that underflow lose up to 2^-150 each.
void expect_linear(const Cpu& cpu, const Matrix& m, int64_t rows, bool with_bias, Epilogue epilogue) {
  const uint32_t seed = next_seed();
  const auto weight = cpu->pack(m.source());
  const std::vector<float> x = test::random_floats(rows * m.cols, seed);
  const std::vector<float> bias = with_bias ? test::random_floats(m.rows, next_seed()) : std::vector<float>();
  const std::vector<float> before = test::random_floats(rows * m.rows, next_seed());
  const std::vector<float> actual = run_linear(cpu, *weight, x, bias, epilogue, before, rows);
  std::vector<float> expected(before.size());
  std::vector<double> bounds(before.size());
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t o = 0; o < m.rows; ++o) {
      double sum = 0, size = 0;
      for (int64_t k = 0; k < m.cols; ++k) {
        const double term = static_cast<double>(x[static_cast<size_t>(t * m.cols + k)]) *
                            static_cast<double>(m.values[static_cast<size_t>(o * m.cols + k)]);
        sum += term;
        size += std::abs(term);
      }
      const auto i = static_cast<size_t>(t * m.rows + o);
      const auto step = [&](double value) {
        sum += value;
        size += std::abs(value);
      };
      if (with_bias) step(static_cast<double>(bias[static_cast<size_t>(o)]));
      if (epilogue == Epilogue::kAdd) step(static_cast<double>(before[i]));
      const double n = static_cast<double>(m.cols) + 3;  // one more for rounding `expected`
      expected[i] = static_cast<float>(sum);
      bounds[i] = n * test::kEps / (1 - n * test::kEps) * size + n * 0x1p-149;
    }
  }
  EXPECT_TRUE(test::all_close(actual, expected, bounds))
      << dtype_info(m.dtype).name << " rows " << rows << " weight [" << m.rows << "," << m.cols << "] seed " << seed;
}

class EveryLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(Linear, EveryLevel, testing::ValuesIn(test::float_levels()),
                         [](const auto& level) { return level.param; });

TEST_P(EveryLevel, EveryTypeIsWithinTheBound) {
  const Cpu cpu(GetParam());
  for (const DType dtype : test::weight_types()) {
    const int64_t block = dtype_info(dtype).block_size;
    const int64_t in = block == 1 ? 259 : 2 * block;
    for (const int64_t outs : {16, 37, 293}) {
      const Matrix m = test::random_matrix(dtype, outs, in, next_seed());
      for (const int64_t rows : {1, 3, 14}) expect_linear(cpu, m, rows, rows == 3, Epilogue::kNone);
    }
  }
}

TEST_P(EveryLevel, EveryNumberOfRowsAndOutputs) {
  const Cpu cpu(GetParam());
  for (const int64_t outs : {0, 1, 15, 16, 17, 32, 33, 48, 95}) {
    const Matrix m = test::random_matrix(DType::kQ4_0, outs, 96, next_seed());
    for (const int64_t rows :
         {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 23, 24, 25, 131, 132, 133, 264, 265, 401}) {
      expect_linear(cpu, m, rows, rows % 2 == 0, rows % 3 == 0 ? Epilogue::kAdd : Epilogue::kNone);
    }
  }
}

TEST_P(EveryLevel, EveryNumberOfColumns) {
  const Cpu cpu(GetParam());
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    for (const int64_t in : {0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 513, 1000}) {
      const Matrix m = test::random_matrix(dtype, 35, in, next_seed());
      for (const int64_t rows : {1, 14}) expect_linear(cpu, m, rows, true, Epilogue::kAdd);
    }
  }
  for (const DType dtype : {DType::kQ4_1, DType::kQ5_0, DType::kQ8_0, DType::kQ6_K}) {
    for (const int64_t blocks : {1, 2, 7, 8, 9, 17, 18, 28}) {
      const Matrix m = test::random_matrix(dtype, 33, blocks * dtype_info(dtype).block_size, next_seed());
      for (const int64_t rows : {1, 5}) expect_linear(cpu, m, rows, false, Epilogue::kNone);
    }
  }
  expect_linear(cpu, test::random_matrix(DType::kQ4_K, 17, 11008, next_seed()), 2, true, Epilogue::kAdd);
}

TEST_P(EveryLevel, ARowHasTheSameBitsAloneAmongManyAndOnAnyThreads) {
  const Cpu one(GetParam(), 1), two(GetParam(), 2), three(GetParam(), 3);
  for (const DType dtype : test::weight_types()) {
    const int64_t block = dtype_info(dtype).block_size;
    const int64_t in = block == 1 ? 576 : std::max<int64_t>(2 * block, 576 / block * block), rows = 29;
    const int64_t outs = test::emulated(GetParam()) ? 37 : 83;
    const Matrix m = test::random_matrix(dtype, outs, in, next_seed());
    const std::vector<float> x = test::random_floats(rows * in, next_seed()),
                             bias = test::random_floats(outs, next_seed());
    const std::vector<float> before = test::random_floats(rows * outs, next_seed());
    const auto weight = two->pack(m.source());
    const std::vector<float> all = run_linear(two, *weight, x, bias, Epilogue::kAdd, before, rows);
    for (const Cpu* cpu : {&one, &three}) {
      const auto other = (*cpu)->pack(m.source());
      EXPECT_TRUE(test::same_bits(run_linear(*cpu, *other, x, bias, Epilogue::kAdd, before, rows), all));
    }
    for (const int64_t step : {1, 2, 7, 13}) {
      std::vector<float> pieces;
      for (int64_t t = 0; t < rows; t += step) {
        const int64_t count = std::min(step, rows - t);
        const auto part = [&](const std::vector<float>& v, int64_t width) {
          return std::vector<float>(v.begin() + t * width, v.begin() + (t + count) * width);
        };
        const std::vector<float> y =
            run_linear(two, *weight, part(x, in), bias, Epilogue::kAdd, part(before, outs), count);
        pieces.insert(pieces.end(), y.begin(), y.end());
      }
      EXPECT_TRUE(test::same_bits(pieces, all)) << dtype_info(dtype).name << " in steps of " << step;
    }
  }
}

TEST_P(EveryLevel, NanAndInfinityReachTheirRowAndOutputOnly) {
  const Cpu cpu(GetParam());
  Matrix m = test::random_matrix(DType::kF32, 20, 40, 77);
  const float nan = std::nanf(""), infinity = INFINITY;
  std::memcpy(m.bytes.data() + (3 * 40 + 7) * 4, &infinity, 4);
  std::memcpy(m.bytes.data() + (18 * 40 + 7) * 4, &nan, 4);
  const auto weight = cpu->pack(m.source());
  for (const int64_t rows : {1, 14}) {
    std::vector<float> x(static_cast<size_t>(rows * 40), 1.0f);
    if (rows > 1) x[5 * 40 + 2] = nan;
    const std::vector<float> y =
        run_linear(cpu, *weight, x, {}, Epilogue::kNone, std::vector<float>(x.size() / 2), rows);
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t o = 0; o < 20; ++o) {
        const float value = y[static_cast<size_t>(t * 20 + o)];
        if (o == 18 || t == 5) {
          EXPECT_TRUE(std::isnan(value));
        } else if (o == 3) {
          EXPECT_EQ(value, infinity);
        } else {
          EXPECT_TRUE(std::isfinite(value));
        }
      }
    }
  }
}

TEST(Linear, Avx2AndAvx512GiveTheSameBits) {
  if (!test::why_not("avx2").empty()) GTEST_SKIP() << test::why_not("avx2");
  const Cpu low("avx2"), high(test::why_not("avx512").empty() ? "avx512" : "avx512_emulated");
  for (const DType dtype : test::weight_types()) {
    const Matrix m = test::random_matrix(dtype, 83, 768, next_seed());
    for (const int64_t rows : {1, 2, 8, 27}) {
      const std::vector<float> x = test::random_floats(rows * m.cols, next_seed()),
                               bias = test::random_floats(m.rows, next_seed());
      const std::vector<float> zero(static_cast<size_t>(rows * m.rows));
      EXPECT_TRUE(test::same_bits(run_linear(low, *low->pack(m.source()), x, bias, Epilogue::kNone, zero, rows),
                                  run_linear(high, *high->pack(m.source()), x, bias, Epilogue::kNone, zero, rows)));
    }
  }
}

TEST(Linear, OneChainAscending) {
  // 1e8 + 1 - 1e8 in float32 is 0 from left to right and 1 in any order that meets the large terms first.
  for (const std::string& level : test::levels_here()) {
    const Cpu cpu(level);
    Matrix m = test::random_matrix(DType::kF32, 16, 3, 1);
    const float row[3] = {1e8f, 1.0f, -1e8f};
    for (int i = 0; i < 16; ++i) std::memcpy(m.bytes.data() + i * 12, row, 12);
    const auto weight = cpu->pack(m.source());
    for (const int64_t rows : {1, 13}) {
      const std::vector<float> x(static_cast<size_t>(3 * rows), 1.0f);
      for (const float y :
           run_linear(cpu, *weight, x, {}, Epilogue::kNone, std::vector<float>(16 * x.size() / 3), rows)) {
        EXPECT_EQ(y, 0.0f);
      }
    }
  }
}

}  // namespace
}  // namespace duet
