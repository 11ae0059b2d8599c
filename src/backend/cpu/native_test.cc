// The native arithmetic (docs/numerics.md): ref is held to the definition, every level to ref, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/cpu/test_data.h"
#include "tensor/integer_blocks.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::Cpu;
using test::Matrix;

uint32_t next_seed() {
  static uint32_t seed = 1000;
  return ++seed;
}

std::vector<DType> integer_types() {
  std::vector<DType> types = test::weight_types();
  types.erase(std::remove_if(types.begin(), types.end(), [](DType t) { return integer_form(t).scales == 0; }),
              types.end());
  return types;
}

WeightSource native(const Matrix& m) {
  WeightSource source = m.source();
  source.activations = Activations::kNative;
  return source;
}

/// linear() with a native weight of `backend`.
std::vector<float> multiply(Backend& backend, const PackedWeight& weight, std::vector<float> x, std::vector<float> bias,
                            Epilogue epilogue, std::vector<float> out) {
  const int64_t rows = weight.cols() == 0 ? 1 : static_cast<int64_t>(x.size()) / weight.cols();
  Tensor b;
  if (!bias.empty()) b = test::view(bias, Shape{weight.rows()});
  const LinearTerm term = {&weight, b, epilogue, test::view(out, Shape{rows, weight.rows()})};
  backend.linear(test::view(x, Shape{rows, weight.cols()}), {&term, 1});
  return out;
}

std::vector<float> multiply(Backend& backend, const Matrix& m, const std::vector<float>& x) {
  const auto weight = backend.pack(native(m));
  return multiply(backend, *weight, x, {}, Epilogue::kNone,
                  std::vector<float>(x.size() / static_cast<size_t>(m.cols) * static_cast<size_t>(m.rows)));
}

/// Rows as a model has them: an attention sink now and then, blocks of zeros, numbers that are hardly there.
std::vector<float> activations(int64_t rows, int64_t cols) {
  std::vector<float> x = test::random_floats(rows * cols, next_seed());
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % 509 == 3) x[i] *= 20000.0f;
    if (i / 32 % 11 == 5) x[i] = 0.0f;
    if (i / 32 % 13 == 7) x[i] *= 0x1p-90f;
    if (i / 32 % 17 == 9) x[i] *= 0x1p-105f;
  }
  return x;
}

TEST(Native, RefIsTheDefinitionAndWithinItsBound) {
  const auto ref = make_ref_backend();
  for (const DType dtype : integer_types()) {
    const int64_t in = std::max<int64_t>(2 * dtype_info(dtype).block_size,
                                         320 / dtype_info(dtype).block_size * dtype_info(dtype).block_size);
    const Matrix m = test::random_matrix(dtype, 5, in, next_seed());
    const std::vector<float> x = activations(4, in);
    const std::vector<float> y = multiply(*ref, m, x);
    std::vector<IntegerBlock> w(static_cast<size_t>(in / 32));
    std::vector<float> rounded, exact;
    std::vector<double> rounded_bounds, exact_bounds;
    for (size_t t = 0; t < 4; ++t) {
      for (size_t o = 0; o < 5; ++o) {
        decode_integers(dtype, m.bytes.data() + static_cast<int64_t>(o) * row_bytes(dtype_info(dtype), in), in,
                        w.data());
        // In float64: the product with the rounded activations, the same with the given ones, and the sizes of both.
        double sum = 0, size = 0, given = 0, distance = 0;
        for (size_t b = 0; b < w.size(); ++b) {
          const float* block = x.data() + t * static_cast<size_t>(in) + 32 * b;
          double top = 0;
          for (size_t k = 0; k < 32; ++k) top = std::max(top, std::abs(static_cast<double>(block[k])));
          const double step = top / 127;
          for (size_t k = 0; k < 32; ++k) {
            const double weight =
                static_cast<double>(w[b].scale[k / 16]) * w[b].q[k] + static_cast<double>(w[b].minimum[k / 16]);
            const double size_of_weight = std::abs(static_cast<double>(w[b].scale[k / 16]) * w[b].q[k]) +
                                          std::abs(static_cast<double>(w[b].minimum[k / 16]));
            // Ties apart, this is the integer of the definition; near a tie either one is within the bound.
            const double q =
                top < 0x1p-100 ? 0 : std::nearbyint(static_cast<double>(block[k] * (127.0f / static_cast<float>(top))));
            sum += weight * q * step;
            size += size_of_weight * 127 * step;
            given += weight * static_cast<double>(block[k]);
            distance += std::abs(weight) * step / 2 * (1 + 0x1p-14) + std::abs(weight) * 0x1p-100;
          }
        }
        // Each of the links rounds once, each factor at most twice (scale of the activations, product of scales).
        const double links =
            static_cast<double>(w.size()) * (integer_form(dtype).scales + integer_form(dtype).minimums);
        rounded.push_back(static_cast<float>(sum));
        rounded_bounds.push_back((links + 4) * test::kEps * size + 0x1p-140);
        exact.push_back(static_cast<float>(given));
        exact_bounds.push_back(distance + (links + 4) * test::kEps * size + 0x1p-140);
      }
    }
    EXPECT_TRUE(test::all_close(y, rounded, rounded_bounds)) << dtype_info(dtype).name;
    EXPECT_TRUE(test::all_close(y, exact, exact_bounds)) << dtype_info(dtype).name;
  }
}

TEST(Native, RefRoundsTiesToEvenAndLinksBlocksInOrder) {
  // Scale 1 (f16 0x3C00), integers 1 to 32; activations with a largest of 127, so that they are their own integers.
  Matrix m = test::random_matrix(DType::kQ8_0, 1, 96, 1);
  for (size_t b = 0; b < 3; ++b) {
    m.bytes[34 * b] = std::byte{0};
    m.bytes[34 * b + 1] = std::byte{0x3C};
    for (size_t k = 0; k < 32; ++k) m.bytes[34 * b + 2 + k] = static_cast<std::byte>(k + 1);
  }
  const auto ref = make_ref_backend();
  std::vector<float> x(96);
  x[0] = 127.0f;
  x[1] = 0.5f, x[2] = 1.5f, x[3] = 2.5f, x[4] = -0.5f, x[5] = -3.5f;
  EXPECT_EQ(multiply(*ref, m, x)[0], 127.0f + 3 * 2 + 4 * 2 - 6 * 4);
  // 2^27 + 1 - 2^27: the second link is lost from left to right, and counts where it is the last one.
  std::fill(x.begin(), x.end(), 0.0f);
  x[0] = 0x1p27f, x[64] = -0x1p27f;
  const float nothing = multiply(*ref, m, x)[0];
  x[32] = 1.0f;
  EXPECT_EQ(multiply(*ref, m, x)[0], nothing);
  std::swap(x[32], x[64]);
  EXPECT_EQ(multiply(*ref, m, x)[0], nothing + 1.0f);
}

class NativeLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(Native, NativeLevel, testing::ValuesIn(test::all_levels()),
                         [](const auto& level) { return level.param; });

TEST_P(NativeLevel, EveryTypeHasTheBitsOfRefForEveryNumberOfRows) {
  const auto ref = make_ref_backend();
  const Cpu cpu(GetParam());
  for (const DType dtype : integer_types()) {
    const int64_t block = dtype_info(dtype).block_size;
    // More than one expanded part, and a last one that is not full.
    for (const int64_t in : {block, std::max<int64_t>(3 * block, 608 / block * block)}) {
      const Matrix m = test::random_matrix(dtype, 53, in, next_seed());
      const auto weight = cpu->pack(native(m));
      EXPECT_EQ(weight->bytes(), static_cast<int64_t>(m.bytes.size()));
      for (const int64_t rows : {1, 2, 3, 4, 5, 8, 12, 13, 15, 33}) {
        const std::vector<float> x = activations(rows, in);
        const std::vector<float> zero(static_cast<size_t>(rows * m.rows));
        EXPECT_TRUE(
            test::same_bits(multiply(*cpu.backend, *weight, x, {}, Epilogue::kNone, zero), multiply(*ref, m, x)))
            << dtype_info(dtype).name << " [53," << in << "] rows " << rows;
      }
    }
  }
}

TEST_P(NativeLevel, LargestIntegersDoNotOverflow) {
  const auto ref = make_ref_backend();
  const Cpu cpu(GetParam());
  for (const DType dtype : integer_types()) {
    for (const int fill : {0x00, 0xFF, 0x80, 0x7F, 0x88, 0x77}) {
      Matrix m = test::random_matrix(dtype, 16, 256, next_seed());
      const std::vector<std::byte> random = m.bytes;
      std::fill(m.bytes.begin(), m.bytes.end(), static_cast<std::byte>(fill));
      std::vector<float> values(static_cast<size_t>(m.rows * m.cols));
      dequantize(dtype, m.bytes.data(), m.rows * m.cols, values.data());
      for (const float sign : {1.0f, -1.0f}) {
        for (const int64_t rows : {1, 3}) {
          const std::vector<float> x(static_cast<size_t>(rows * 256), sign);
          EXPECT_TRUE(test::same_bits(multiply(*cpu.backend, m, x), multiply(*ref, m, x)))
              << dtype_info(dtype).name << " bytes " << fill;
        }
      }
    }
  }
}

TEST_P(NativeLevel, EveryShapeOnAnyThreads) {
  const auto ref = make_ref_backend();
  std::vector<std::unique_ptr<Cpu>> cpus;
  const bool slow = test::emulated(GetParam());
  for (const int threads : {1, 2, 3, 5}) {
    if (!slow || threads == 2) cpus.push_back(std::make_unique<Cpu>(GetParam(), threads));
  }
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ6_K}) {
    for (const int64_t outs : {0, 1, 15, 16, 17, 33, 83, 389}) {
      const Matrix m = test::random_matrix(dtype, outs, 768, next_seed());
      const std::vector<float> bias = test::random_floats(outs, next_seed());
      for (const int64_t rows : {1, 3, 16, 17, 128, 133, 512}) {
        if (rows > 17 && outs > (slow ? 17 : 33)) continue;
        const std::vector<float> x = activations(rows, m.cols);
        const std::vector<float> before = test::random_floats(rows * outs, next_seed());
        const auto epilogue = rows % 2 == 0 ? Epilogue::kAdd : Epilogue::kNone;
        const std::vector<float> expected = multiply(*ref, *ref->pack(native(m)), x, bias, epilogue, before);
        for (const auto& cpu : cpus) {
          const auto weight = (*cpu)->pack(native(m));
          EXPECT_TRUE(test::same_bits(multiply(*cpu->backend, *weight, x, bias, epilogue, before), expected))
              << dtype_info(dtype).name << " outputs " << outs << " rows " << rows;
        }
      }
    }
  }
}

TEST_P(NativeLevel, NanAndInfinityReachEveryOutputOfTheirRow) {
  const Cpu cpu(GetParam());
  const auto ref = make_ref_backend();
  for (const DType dtype : {DType::kQ4_1, DType::kQ6_K, DType::kIQ2_S}) {
    const Matrix m = test::random_matrix(dtype, 20, 512, next_seed());
    for (const float bad : {std::nanf(""), -std::nanf(""), INFINITY, -INFINITY}) {
      for (const int64_t rows : {1, 9}) {
        std::vector<float> x = test::random_floats(rows * m.cols, next_seed());
        const int64_t row = rows / 2;
        x[static_cast<size_t>(row * m.cols + 300)] = bad;
        const std::vector<float> y = multiply(*cpu.backend, m, x);
        for (int64_t i = 0; i < rows * m.rows; ++i) {
          EXPECT_EQ(std::isnan(y[static_cast<size_t>(i)]), i / m.rows == row);
        }
        EXPECT_TRUE(test::same_bits(multiply(*ref, m, x), y));
      }
    }
  }
}

TEST_P(NativeLevel, TermsOfOneCallHaveTheBitsThatEachHasAlone) {
  const Matrix matrices[] = {
      test::random_matrix(DType::kQ4_K, 40, 512, next_seed()), test::random_matrix(DType::kBF16, 17, 512, next_seed()),
      test::random_matrix(DType::kQ8_0, 5, 512, next_seed()), test::random_matrix(DType::kQ6_K, 300, 512, next_seed())};
  for (const int threads : {1, 3}) {
    const Cpu cpu(GetParam(), threads);
    for (const int64_t rows : {1, 2, 7, 140}) {
      std::vector<float> x = test::random_floats(rows * 512, next_seed());
      std::vector<std::unique_ptr<PackedWeight>> weights;
      std::vector<std::vector<float>> together, alone, bias;
      for (const Matrix& m : matrices) {
        weights.push_back(cpu->pack(native(m)));
        together.push_back(test::random_floats(rows * m.rows, next_seed()));
        alone.push_back(together.back());
        bias.push_back(test::random_floats(m.rows, next_seed()));
      }
      std::vector<LinearTerm> terms;
      for (size_t i = 0; i < weights.size(); ++i) {
        const int64_t outs = weights[i]->rows();
        terms.push_back({weights[i].get(), i % 2 == 0 ? test::view(bias[i], Shape{outs}) : Tensor{},
                         i < 2 ? Epilogue::kAdd : Epilogue::kNone, test::view(together[i], Shape{rows, outs})});
      }
      const Tensor in = test::view(x, Shape{rows, 512});
      cpu->linear(in, terms);
      for (size_t i = 0; i < terms.size(); ++i) {
        LinearTerm term = terms[i];
        term.out = test::view(alone[i], Shape{rows, weights[i]->rows()});
        cpu->linear(in, {&term, 1});
        EXPECT_TRUE(test::same_bits(together[i], alone[i])) << "term " << i << ", " << rows << " rows";
      }
    }
  }
}

TEST_P(NativeLevel, TypesWithoutAnIntegerFormKeepTheFloat32Arithmetic) {
  const Cpu cpu(GetParam());
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
    const Matrix m = test::random_matrix(dtype, 33, 96, next_seed());
    const auto weight = cpu->pack(native(m)), plain = cpu->pack(m.source());
    EXPECT_EQ(weight->activations(), Activations::kF32);
    const std::vector<float> x = test::random_floats(3 * 96, next_seed()), zero(99);
    EXPECT_TRUE(test::same_bits(multiply(*cpu.backend, *weight, x, {}, Epilogue::kNone, zero),
                                multiply(*cpu.backend, *plain, x, {}, Epilogue::kNone, zero)));
  }
}

}  // namespace
}  // namespace duet
