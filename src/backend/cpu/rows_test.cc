// The ops that work on one row at a time, and exp.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"

namespace duet {
namespace {

using test::Cpu;
using test::view;

class RowsLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(Rows, RowsLevel, testing::ValuesIn(test::float_levels()),
                         [](const auto& level) { return level.param; });

/// |actual - expected| in units of the last place of `expected`, which is that of 2^-126 below the normal range.
double ulps(float actual, double expected) {
  const int exponent = std::max(std::ilogb(expected), -126);
  return std::abs(static_cast<double>(actual) - expected) / std::ldexp(1.0, exponent - 23);
}

TEST_P(RowsLevel, ExpIsWithinTwoUlpEverywhere) {
  const CpuKernels kernels = test::choose_level(GetParam()).kernels;
  std::vector<float> x, y;
  for (uint32_t bits = 0; bits < 0x42D20000; bits += 2477) {  // 0 to 105, both signs: 900,000 values
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(-x.back());
  }
  y.resize(x.size());
  kernels.exp(x.data(), y.data(), static_cast<int64_t>(x.size()));
  double worst = 0;
  float at = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    if (expected > 0x1.ffffffp127) {
      EXPECT_EQ(y[i], INFINITY) << x[i];
      continue;
    }
    const double error = ulps(y[i], expected);
    if (error > worst) worst = error, at = x[i];
  }
  EXPECT_LE(worst, 2.0) << "at " << at;
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST_P(RowsLevel, HalvesAreThoseOfTheDefinition) {
  const CpuKernels kernels = test::choose_level(GetParam()).kernels;
  std::vector<float> x;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 4099)
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  for (uint32_t half = 0; half < 0x10000; ++half) {  // each number, the ties beside it and what is next to both
    const auto bits = std::bit_cast<uint32_t>(f16_to_f32(static_cast<uint16_t>(half)));
    for (const uint32_t at : {bits, bits + 0x1000, half << 16, (half << 16) + 0x8000}) {
      for (const uint32_t near : {at - 1, at, at + 1}) x.push_back(std::bit_cast<float>(near));
    }
  }
  for (uint32_t step = 0; step < 2048; ++step) {  // ties below 2^-14
    const auto at = std::bit_cast<uint32_t>((static_cast<float>(step) + 0.5f) * 0x1p-24f);
    for (const uint32_t near : {at - 1, at, at + 1}) x.push_back(std::bit_cast<float>(near));
  }
  const auto count = static_cast<int64_t>(x.size());
  std::vector<uint16_t> y(x.size()), z(x.size());
  kernels.round_f16(x.data(), count, reinterpret_cast<std::byte*>(y.data()));
  kernels.round_bf16(x.data(), count, reinterpret_cast<std::byte*>(z.data()));
  int64_t wrong = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (y[i] == f32_to_f16(x[i]) && z[i] == f32_to_bf16(x[i])) continue;
    if (++wrong <= 3) ADD_FAILURE() << std::bit_cast<uint32_t>(x[i]) << ": " << y[i] << ", " << z[i];
  }
  EXPECT_EQ(wrong, 0) << "of " << count;
}

TEST_P(RowsLevel, ExpOfExtremes) {
  const CpuKernels kernels = test::choose_level(GetParam()).kernels;
  const std::vector<float> x = {0.0f,    -0.0f,     INFINITY, -INFINITY, NAN,     -NAN,    3.4e38f,  -3.4e38f, 1e-45f,
                                -1e-45f, 88.72283f, 88.73f,   -104.0f,   -103.9f, 1000.0f, -1000.0f, 89.5f};
  for (size_t n = 0; n <= x.size(); ++n) {  // every length of the last vector
    std::vector<float> y(n + 1, 42.0f);
    kernels.exp(x.data(), y.data(), static_cast<int64_t>(n));
    EXPECT_EQ(y[n], 42.0f);
    const std::vector<float> expected = {1, 1, INFINITY, 0, NAN, NAN, INFINITY, 0, 1, 1};
    for (size_t i = 0; i < std::min(n, expected.size()); ++i) {
      EXPECT_TRUE(std::isnan(expected[i]) ? std::isnan(y[i]) : y[i] == expected[i]) << x[i] << " " << y[i];
    }
    if (n == x.size()) {
      EXPECT_LT(y[10], INFINITY);
      EXPECT_GT(y[10], 3.4e38f);
      EXPECT_EQ(y[11], INFINITY);
      EXPECT_EQ(y[12], 0.0f);
      EXPECT_EQ(y[13], 1e-45f);
      EXPECT_EQ(y[14], INFINITY);
      EXPECT_EQ(y[15], 0.0f);
      EXPECT_EQ(y[16], INFINITY);
    }
  }
}

/// e within 2 ulp, then up to four rounded steps: 8 ulp of the product. Below the normal range e is within 2^-148,
/// which g and up multiply, and g e and the product lose a step each.
TEST_P(RowsLevel, SiluMul) {
  const Cpu cpu(GetParam());
  uint32_t seed = 0;
  for (const int64_t count : {0, 1, 15, 16, 17, 100, 40000}) {
    std::vector<float> gate = test::random_floats(count, ++seed, 30.0f), up = test::random_floats(count, ++seed);
    std::vector<float> out(gate.size());
    cpu->silu_mul(view(gate, Shape{1, count}), view(up, Shape{1, count}), view(out, Shape{1, count}));
    std::vector<float> expected(gate.size());
    std::vector<double> bounds(gate.size());
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = static_cast<double>(gate[i]);
      const double y = g / (1 + std::exp(-g)) * static_cast<double>(up[i]);
      expected[i] = static_cast<float>(y);
      const double u = std::abs(static_cast<double>(up[i]));
      bounds[i] = std::abs(y) * 16 * test::kEps + (1 + u + std::abs(g) * u) * 0x1p-148;
    }
    EXPECT_TRUE(test::all_close(out, expected, bounds)) << count;
    std::vector<float> in_place = gate;
    cpu->silu_mul(view(in_place, Shape{1, count}), view(up, Shape{1, count}), view(in_place, Shape{1, count}));
    EXPECT_TRUE(test::same_bits(in_place, out));
    std::vector<float> last(gate.size());  // neighbours do not matter
    for (int64_t i = 0; i < count; i += 997) {
      const Tensor g = view(gate, Shape{count}).rows(i, 1), u = view(up, Shape{count}).rows(i, 1);
      std::vector<float> one(1);
      cpu->silu_mul(g, u, view(one, Shape{1}));
      EXPECT_EQ(std::bit_cast<uint32_t>(one[0]), std::bit_cast<uint32_t>(out[static_cast<size_t>(i)]));
    }
  }
  std::vector<float> gate = {INFINITY, NAN, -1000.0f, 1000.0f, -0.0f, 1.0f, -INFINITY}, up = {2, 2, 2, 2, 2, NAN, 1};
  std::vector<float> out(gate.size());
  cpu->silu_mul(view(gate, Shape{7}), view(up, Shape{7}), view(out, Shape{7}));
  EXPECT_EQ(out[0], INFINITY);
  EXPECT_TRUE(std::isnan(out[1]));
  EXPECT_EQ(out[2], 0.0f);
  EXPECT_EQ(out[3], 2000.0f);
  EXPECT_EQ(out[4], 0.0f);
  EXPECT_TRUE(std::isnan(out[5]));
  EXPECT_TRUE(std::isnan(out[6]));
}

/// The sum is exact to 2^-45 relative; the factor is rounded once, then two products: 3 half steps, one for `expected`.
TEST_P(RowsLevel, RmsNorm) {
  const Cpu cpu(GetParam());
  uint32_t seed = 0;
  for (const int64_t n : {1, 2, 15, 16, 17, 31, 576, 1001, 8192}) {
    for (const int64_t rows : {0, 1, 7, 100}) {
      std::vector<float> x = test::random_floats(rows * n, ++seed), w = test::random_floats(n, ++seed), out(x.size());
      if (rows > 0) x[0] = 24926.0f;  // the residual of a first position
      cpu->rms_norm(view(x, Shape{rows, n}), view(w, Shape{n}), 1e-5f, view(out, Shape{rows, n}));
      std::vector<float> expected(x.size());
      std::vector<double> bounds(x.size());
      for (int64_t t = 0; t < rows; ++t) {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += std::pow(static_cast<double>(x[static_cast<size_t>(t * n + i)]), 2);
        const double factor = 1 / std::sqrt(sum / static_cast<double>(n) + static_cast<double>(1e-5f));
        for (int64_t i = 0; i < n; ++i) {
          const auto at = static_cast<size_t>(t * n + i);
          const double y = static_cast<double>(x[at]) * factor * static_cast<double>(w[static_cast<size_t>(i)]);
          expected[at] = static_cast<float>(y);
          bounds[at] = 4.1 * test::kEps * std::abs(y) + 0x1p-148;
        }
      }
      EXPECT_TRUE(test::all_close(out, expected, bounds)) << rows << " " << n;
      if (rows > 0) {
        std::vector<float> alone(static_cast<size_t>(n));
        const Tensor last = view(x, Shape{rows, n}).rows(rows - 1, 1);
        cpu->rms_norm(last, view(w, Shape{n}), 1e-5f, view(alone, Shape{1, n}));
        EXPECT_TRUE(test::same_bits(alone, std::span(out).last(static_cast<size_t>(n))));
      }
      std::vector<float> in_place = x;
      cpu->rms_norm(view(in_place, Shape{rows, n}), view(w, Shape{n}), 1e-5f, view(in_place, Shape{rows, n}));
      EXPECT_TRUE(test::same_bits(in_place, out));
    }
  }
  std::vector<float> x = {1, NAN, 1, 1}, w = {1, 1}, out(4);
  cpu->rms_norm(view(x, Shape{2, 2}), view(w, Shape{2}), 0.0f, view(out, Shape{2, 2}));
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
  EXPECT_EQ(out[2], 1.0f);
}

TEST_P(RowsLevel, Rope) {
  const Cpu cpu(GetParam());
  uint32_t seed = 0;
  for (const auto& [rows, heads, dim, rotated] : {std::tuple<int64_t, int64_t, int64_t, int64_t>{0, 2, 8, 8},
                                                  {1, 1, 2, 2},
                                                  {5, 3, 64, 64},
                                                  {100, 9, 64, 64},
                                                  {7, 2, 128, 32},
                                                  {3, 1, 10, 6}}) {
    const std::vector<float> before = test::random_floats(rows * heads * dim, ++seed);
    std::vector<float> x = before, cos = test::random_floats(rows * rotated / 2, ++seed),
                       sin = test::random_floats(rows * rotated / 2, ++seed);
    const Shape angles{rows, rotated / 2};
    cpu->rope(view(x, Shape{rows, heads, dim}), view(cos, angles), view(sin, angles));
    std::vector<float> expected = before;
    std::vector<double> bounds(before.size());
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < rotated / 2; ++i) {
          const auto a = static_cast<size_t>((t * heads + h) * dim + i), b = a + static_cast<size_t>(rotated / 2);
          const auto angle = static_cast<size_t>(t * rotated / 2 + i);
          const double c = static_cast<double>(cos[angle]), s = static_cast<double>(sin[angle]);
          const double first = static_cast<double>(before[a]), second = static_cast<double>(before[b]);
          expected[a] = static_cast<float>(first * c - second * s);
          expected[b] = static_cast<float>(second * c + first * s);
          bounds[a] = 3.1 * test::kEps * (std::abs(first * c) + std::abs(second * s)) + 0x1p-148;
          bounds[b] = 3.1 * test::kEps * (std::abs(second * c) + std::abs(first * s)) + 0x1p-148;
        }
      }
    }
    EXPECT_TRUE(test::all_close(x, expected, bounds));
  }
}

TEST(Rows, SelectRowsCopiesThem) {
  const Cpu cpu;
  std::vector<float> x = test::random_floats(20 * 33, 1), out(300 * 33), expected;
  std::vector<int32_t> rows;
  for (int32_t i = 0; i < 300; ++i) {
    rows.push_back(i * 7 % 20);
    expected.insert(expected.end(), x.begin() + rows.back() * 33, x.begin() + (rows.back() + 1) * 33);
  }
  cpu->select_rows(view(x, Shape{20, 33}), rows, view(out, Shape{300, 33}));
  EXPECT_TRUE(test::same_bits(out, expected));
  std::vector<float> none;
  cpu->select_rows(view(x, Shape{20, 33}), {}, view(none, Shape{0, 33}));
}

TEST(Rows, KvWriteTouchesItsSlotsOnly) {
  const Cpu cpu;
  constexpr int64_t kHeads = 3, kDim = 5, kPage = 2 * kHeads * KvView::kPageTokens * kDim;
  std::vector<float> data(3 * kPage, 9.0f);
  std::vector<std::byte*> first = {reinterpret_cast<std::byte*>(data.data()),
                                   reinterpret_cast<std::byte*>(data.data() + kPage)};
  std::vector<std::byte*> second = {reinterpret_cast<std::byte*>(data.data() + 2 * kPage)};
  const std::vector<std::span<std::byte* const>> pages = {first, second};
  KvView kv;
  kv.kv_heads = kHeads;
  kv.head_dim = kDim;
  kv.pages = pages;
  EXPECT_EQ(kv.page_bytes(), kPage * 4);
  const std::vector<int32_t> sequence = {0, 1, 0}, position = {63, 5, 64};
  std::vector<float> k = test::random_floats(3 * kHeads * kDim, 1), v = test::random_floats(3 * kHeads * kDim, 2);
  std::vector<float> expected = data;
  for (int64_t t = 0; t < 3; ++t) {
    const int64_t page = t == 0 ? 0 : t == 1 ? 2 : 1, slot = position[static_cast<size_t>(t)] % 64;
    for (int64_t h = 0; h < kHeads; ++h) {
      for (int64_t d = 0; d < kDim; ++d) {
        const auto from = static_cast<size_t>((t * kHeads + h) * kDim + d);
        expected[static_cast<size_t>(page * kPage + (h * kDim + d) * 64 + slot)] = k[from];  // transposed
        expected[static_cast<size_t>(page * kPage + kPage / 2 + (h * 64 + slot) * kDim + d)] = v[from];
      }
    }
  }
  cpu->kv_write(view(k, Shape{3, kHeads, kDim}), view(v, Shape{3, kHeads, kDim}), kv, {sequence, position});
  EXPECT_TRUE(test::same_bits(data, expected));
}

}  // namespace
}  // namespace duet
