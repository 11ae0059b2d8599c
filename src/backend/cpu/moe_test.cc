// Mixtures of experts (backend.h, src/ops/moe.h): products by groups have the bits of linear() row by row, the router
// is held to its definition, what scales rows to its bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::Cpu;
using test::Matrix;
using test::view;
using test::view_ids;

uint32_t next_seed() {
  static uint32_t seed = 5000;
  return ++seed;
}

class MoeLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(Moe, MoeLevel, testing::ValuesIn(test::all_levels()),
                         [](const auto& level) { return level.param; });

/// One matrix for each expert, packed.
struct Experts {
  std::vector<Matrix> matrices;
  std::vector<std::unique_ptr<PackedWeight>> owned;
  std::vector<const PackedWeight*> weights;

  Experts(Backend& backend, DType dtype, Activations activations, int64_t count, int64_t out, int64_t in) {
    for (int64_t e = 0; e < count; ++e) matrices.push_back(test::random_matrix(dtype, out, in, next_seed()));
    pack(backend, activations);
  }
  void pack(Backend& backend, Activations activations) {
    owned.clear(), weights.clear();
    for (const Matrix& m : matrices) {
      owned.push_back(test::pack(backend, m, activations));
      weights.push_back(owned.back().get());
    }
  }
  int64_t out() const { return matrices.front().rows; }
};

/// How tokens choose their experts.
enum class Choice { kRandom, kOneExpert, kLastExperts };

std::vector<int32_t> choose(Choice choice, int64_t tokens, int64_t experts, int64_t top_k) {
  if (choice == Choice::kRandom) return test::random_experts(tokens, experts, top_k, next_seed());
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t j = 0; j < top_k; ++j) {
      ids.push_back(static_cast<int32_t>(choice == Choice::kOneExpert ? experts / 2 : experts - 1 - j));
    }
  }
  return ids;
}

/// What linear() gives for the row of each slot alone.
std::vector<float> row_by_row(Backend& backend, const Experts& experts, std::vector<float>& x, int64_t in,
                              const std::vector<int32_t>& ids, int64_t slots_of_row) {
  std::vector<float> out(ids.size() * static_cast<size_t>(experts.out()));
  const auto rows = static_cast<int64_t>(x.size()) / in, slots = static_cast<int64_t>(ids.size());
  for (int64_t slot = 0; slot < slots; ++slot) {
    const LinearTerm term = {experts.weights[static_cast<size_t>(ids[static_cast<size_t>(slot)])],
                             {},
                             Epilogue::kNone,
                             view(out, Shape{slots, experts.out()}).rows(slot, 1)};
    backend.linear(view(x, Shape{rows, in}).rows(slot / slots_of_row, 1), {&term, 1});
  }
  return out;
}

struct GroupedCase {
  int64_t tokens, experts, top_k;
  Choice choice = Choice::kRandom;
};

/// grouped_linear() with two terms, one row of x for each token and one for each slot, against row_by_row().
void expect_row_bits(const Cpu& cpu, const Experts& first, const Experts& second, int64_t in, const GroupedCase& c) {
  std::vector<int32_t> ids = choose(c.choice, c.tokens, c.experts, c.top_k);
  for (const bool own_rows : {false, true}) {
    const int64_t rows = c.tokens * (own_rows ? c.top_k : 1);
    std::vector<float> x = test::random_floats(rows * in, next_seed());
    std::vector<float> out[2];
    std::vector<GroupedTerm> terms;
    for (const Experts* experts : {&first, &second}) {
      std::vector<float>& y = out[terms.size()];
      y.assign(ids.size() * static_cast<size_t>(experts->out()), 42.0f);
      terms.push_back({experts->weights, view(y, Shape{c.tokens, c.top_k, experts->out()})});
    }
    const Shape shape = own_rows ? Shape{c.tokens, c.top_k, in} : Shape{c.tokens, in};
    cpu->grouped_linear(view(x, shape), view_ids(ids, Shape{c.tokens, c.top_k}), terms);
    const int64_t slots_of_row = own_rows ? 1 : c.top_k;
    EXPECT_TRUE(test::same_bits(out[0], row_by_row(*cpu.backend, first, x, in, ids, slots_of_row)));
    EXPECT_TRUE(test::same_bits(out[1], row_by_row(*cpu.backend, second, x, in, ids, slots_of_row)));
  }
}

/// More rows than a block for one expert, more waiting rows than a block over all, experts that nobody chose.
TEST_P(MoeLevel, GroupedLinearHasTheBitsOfEachRowAlone) {
  constexpr int64_t kIn = 512;
  const bool slow = test::kSanitized || test::emulated(GetParam());
  std::vector<GroupedCase> cases = {{0, 3, 2}, {1, 1, 1}, {1, 40, 5}, {2, 8, 3}, {7, 5, 5}, {30, 2, 1}};
  if (!slow) {
    cases.insert(cases.end(), {{300, 4, 2},
                               {300, 40, 5},
                               {150, 3, 1, Choice::kOneExpert},
                               {90, 3, 3, Choice::kOneExpert},
                               {33, 40, 4, Choice::kLastExperts}});
  } else {
    cases.push_back({kBlockRows + 1, 3, 1, Choice::kOneExpert});
  }
  int threads = 0;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K}) {
    for (const Activations activations : {Activations::kF32, Activations::kNative}) {
      const Cpu cpu(GetParam(), threads++ % 3 + 1);
      for (const GroupedCase& c : cases) {
        SCOPED_TRACE(testing::Message() << dtype_info(dtype).name << " native " << (activations == Activations::kNative)
                                        << " T " << c.tokens << " E " << c.experts << " k " << c.top_k);
        const Experts first(*cpu.backend, dtype, activations, c.experts, 40, kIn);  // two panels and eight plain rows
        const Experts second(*cpu.backend, dtype, activations, c.experts, 16, kIn);
        expect_row_bits(cpu, first, second, kIn, c);
      }
    }
  }
}

/// What has no expert in this call stays as it was, and the others are as in one call for all: passes add up.
TEST_P(MoeLevel, GroupedLinearLeavesRowsWithoutAnExpertAlone) {
  constexpr int64_t kIn = 256, kOut = 40, kExperts = 6, kTopK = 3;
  for (const Activations activations : {Activations::kF32, Activations::kNative}) {
    for (const int64_t tokens : {int64_t{1}, int64_t{50}}) {
      const Cpu cpu(GetParam());
      const std::unique_ptr<Backend> ref = make_ref_backend();
      for (Backend* backend : {cpu.backend.get(), ref.get()}) {
        const Experts experts(*backend, DType::kQ4_K, activations, kExperts, kOut, kIn);
        std::vector<int32_t> ids = choose(Choice::kRandom, tokens, kExperts, kTopK);
        std::vector<float> x = test::random_floats(tokens * kIn, next_seed());
        std::vector<float> whole(ids.size() * kOut, 42.0f), parts = whole;
        const auto run = [&](std::vector<int32_t>& chosen, std::vector<float>& y) {
          const GroupedTerm term = {experts.weights, view(y, Shape{tokens, kTopK, kOut})};
          backend->grouped_linear(view(x, Shape{tokens, kIn}), view_ids(chosen, Shape{tokens, kTopK}), {&term, 1});
        };
        run(ids, whole);
        std::vector<int32_t> none(ids.size(), -1);
        run(none, parts);
        EXPECT_TRUE(test::same_bits(parts, std::vector<float>(parts.size(), 42.0f)));
        for (int32_t first = 0; first < kExperts; first += 2) {
          std::vector<int32_t> pass = ids;
          std::vector<float> expected = parts;
          for (size_t i = 0; i < pass.size(); ++i) {
            if (pass[i] / 2 != first / 2) {
              pass[i] = -1;
            } else {
              std::copy_n(whole.begin() + static_cast<int64_t>(i) * kOut, kOut,
                          expected.begin() + static_cast<int64_t>(i) * kOut);
            }
          }
          run(pass, parts);
          EXPECT_TRUE(test::same_bits(parts, expected));
        }
        EXPECT_TRUE(test::same_bits(parts, whole));
      }
    }
  }
}

/// One call may mix both arithmetics, and types.
TEST_P(MoeLevel, TermsOfDifferentTypesAndArithmeticDoNotSeeEachOther) {
  const Cpu cpu(GetParam());
  for (const GroupedCase& c : {GroupedCase{1, 5, 2}, {60, 5, 2}, {9, 5, 5}}) {
    const Experts first(*cpu.backend, DType::kQ4_K, Activations::kNative, c.experts, 24, 256);
    const Experts second(*cpu.backend, DType::kBF16, Activations::kNative, c.experts, 33, 256);  // has float32 only
    const Experts third(*cpu.backend, DType::kQ6_K, Activations::kNative, c.experts, 5, 256);
    expect_row_bits(cpu, first, second, 256, c);
    expect_row_bits(cpu, first, third, 256, c);
  }
}

TEST_P(MoeLevel, GroupedLinearHasTheSameBitsForAnyNumberOfThreads) {
  for (const Activations activations : {Activations::kF32, Activations::kNative}) {
    std::vector<int32_t> ids = choose(Choice::kRandom, 50, 6, 3);
    std::vector<float> x = test::random_floats(50 * 256, next_seed()), first;
    const Cpu one(GetParam(), 1);
    Experts experts(*one.backend, DType::kQ4_K, activations, 6, 100, 256);
    for (const int threads : {1, 2, 3}) {
      const Cpu cpu(GetParam(), threads);
      experts.pack(*cpu.backend, activations);
      std::vector<float> y(50 * 3 * 100);
      const GroupedTerm term = {experts.weights, view(y, Shape{50, 3, 100})};
      cpu->grouped_linear(view(x, Shape{50, 256}), view_ids(ids, Shape{50, 3}), {&term, 1});
      if (threads == 1) first = y;
      EXPECT_TRUE(test::same_bits(y, first)) << threads;
      experts.owned.clear();
    }
  }
}

/// ... and the bits of the specification in the native arithmetic, its values within the bound in float32.
TEST_P(MoeLevel, GroupedLinearAgreesWithRef) {
  const Cpu cpu(GetParam());
  const auto ref = make_ref_backend();
  for (const Activations activations : {Activations::kF32, Activations::kNative}) {
    std::vector<int32_t> ids = choose(Choice::kRandom, 12, 4, 2);
    std::vector<float> x = test::random_floats(12 * 2 * 256, next_seed()), y(12 * 2 * 20), expected(y.size());
    Experts experts(*cpu.backend, DType::kQ8_0, activations, 4, 20, 256);
    const auto multiply = [&](Backend& backend, std::vector<float>& out) {
      const GroupedTerm term = {experts.weights, view(out, Shape{12, 2, 20})};
      backend.grouped_linear(view(x, Shape{12, 2, 256}), view_ids(ids, Shape{12, 2}), {&term, 1});
    };
    multiply(*cpu.backend, y);
    experts.pack(*ref, activations);
    multiply(*ref, expected);
    if (activations == Activations::kNative) {
      EXPECT_TRUE(test::same_bits(y, expected));
      continue;
    }
    std::vector<double> bounds(y.size());
    for (size_t slot = 0; slot < ids.size(); ++slot) {
      for (size_t o = 0; o < 20; ++o) {
        const Matrix& m = experts.matrices[static_cast<size_t>(ids[slot])];
        double size = 0;
        for (size_t i = 0; i < 256; ++i)
          size += std::abs(static_cast<double>(x[slot * 256 + i] * m.values[o * 256 + i]));
        bounds[slot * 20 + o] = 2 * 258 * test::kEps * size * (1 + 0x1p-20);
      }
    }
    EXPECT_TRUE(test::all_close(y, expected, bounds));
  }
}

TEST_P(MoeLevel, OneExpertIsTheDenseProduct) {
  const Cpu cpu(GetParam());
  for (const Activations activations : {Activations::kF32, Activations::kNative}) {
    const Experts experts(*cpu.backend, DType::kQ6_K, activations, 1, 70, 256);
    for (const int64_t rows : {1, 2, 17, 100}) {
      std::vector<float> x = test::random_floats(rows * 256, next_seed());
      std::vector<float> y(static_cast<size_t>(rows * 70)), dense(y.size());
      std::vector<int32_t> ids(static_cast<size_t>(rows), 0);
      const GroupedTerm grouped = {experts.weights, view(y, Shape{rows, 1, 70})};
      const LinearTerm plain = {experts.weights[0], {}, Epilogue::kNone, view(dense, Shape{rows, 70})};
      cpu->grouped_linear(view(x, Shape{rows, 256}), view_ids(ids, Shape{rows, 1}), {&grouped, 1});
      cpu->linear(view(x, Shape{rows, 256}), {&plain, 1});
      EXPECT_TRUE(test::same_bits(y, dense)) << rows;
    }
  }
}

// ---- the router ----

struct Routed {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routed route(Backend& backend, std::vector<float> logits, int64_t experts, RouterScore score, int64_t top_k) {
  const int64_t rows = static_cast<int64_t>(logits.size()) / experts;
  Routed out{std::vector<int32_t>(static_cast<size_t>(rows * top_k), -1),
             std::vector<float>(static_cast<size_t>(rows * top_k), 42.0f)};
  backend.route_top_k(view(logits, Shape{rows, experts}), score, view_ids(out.ids, Shape{rows, top_k}),
                      view(out.weights, Shape{rows, top_k}));
  return out;
}

/// The definition: sorted by falling value, NaN above all, then by rising id; scores in long double.
Routed defined(std::span<const float> logits, RouterScore score, int64_t top_k) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](int32_t e) { return static_cast<long double>(logits[static_cast<size_t>(e)]); };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    if (std::isnan(value(a)) || std::isnan(value(b))) return std::isnan(value(a)) && !std::isnan(value(b));
    return value(a) > value(b);
  });
  Routed out;
  out.ids.assign(order.begin(), order.begin() + top_k);
  const std::vector<int32_t>& summed = score == RouterScore::kSoftmax ? order : out.ids;
  long double sum = 0;
  for (const int32_t e : summed) sum += std::exp(value(e) - value(order[0]));
  for (const int32_t e : out.ids) {
    const long double y =
        score == RouterScore::kSigmoid ? 1 / (1 + std::exp(-value(e))) : std::exp(value(e) - value(order[0])) / sum;
    out.weights.push_back(static_cast<float>(y));
  }
  return out;
}

/// float64 steps and one rounding: half a step each for it and `expected`, and what float64 adds.
std::vector<double> weight_bounds(const std::vector<float>& expected) {
  std::vector<double> bounds;
  for (const float w : expected) bounds.push_back(2.01 * test::kEps * std::abs(static_cast<double>(w)) + 0x1p-149);
  return bounds;
}

constexpr RouterScore kScores[] = {RouterScore::kSoftmax, RouterScore::kSoftmaxRenormalised, RouterScore::kSigmoid};

TEST(Router, IsItsDefinition) {
  const Cpu cpu("", 3);
  const auto ref = make_ref_backend();
  std::mt19937 random(next_seed());
  for (const RouterScore score : kScores) {
    for (const int64_t experts : {1, 2, 7, 16, 128, 512}) {
      for (const int64_t top_k : {int64_t{1}, int64_t{2}, int64_t{8}, experts}) {
        if (top_k > experts) continue;
        for (const float step : {0.0f, 1.0f, 30.0f}) {  // multiples of a step: many ties
          constexpr int64_t kRows = 20;
          std::vector<float> logits = test::random_floats(kRows * experts, next_seed(), 4.0f);
          if (step > 0) {
            for (float& l : logits) l = step * static_cast<float>(static_cast<int>(random() % 5) - 2);
          }
          const Routed routed = route(*cpu.backend, logits, experts, score, top_k);
          const Routed specified = route(*ref, logits, experts, score, top_k);
          EXPECT_EQ(routed.ids, specified.ids);
          EXPECT_TRUE(test::same_bits(routed.weights, specified.weights));
          Routed expected;
          for (int64_t t = 0; t < kRows; ++t) {
            const Routed row =
                defined(std::span(logits).subspan(static_cast<size_t>(t * experts), static_cast<size_t>(experts)),
                        score, top_k);
            expected.ids.insert(expected.ids.end(), row.ids.begin(), row.ids.end());
            expected.weights.insert(expected.weights.end(), row.weights.begin(), row.weights.end());
          }
          ASSERT_EQ(routed.ids, expected.ids) << experts << " choose " << top_k;
          EXPECT_TRUE(test::all_close(routed.weights, expected.weights, weight_bounds(expected.weights)));
        }
      }
    }
  }
}

TEST(Router, WeightsThatAreDividedByTheirSumAddUpToOne) {
  const Cpu cpu;
  const Routed all = route(*cpu.backend, test::random_floats(6, next_seed()), 6, RouterScore::kSoftmax, 6);
  const Routed some =
      route(*cpu.backend, test::random_floats(60, next_seed()), 60, RouterScore::kSoftmaxRenormalised, 5);
  for (const Routed* routed : {&all, &some}) {
    EXPECT_NEAR(std::accumulate(routed->weights.begin(), routed->weights.end(), 0.0), 1.0, 6 * test::kEps);
  }
}

TEST(Router, NanIsChosenFirstAndPoisonsItsRow) {
  const Cpu cpu;
  const std::vector<float> logits = {9, NAN, 3, -NAN, 9, 1, 2, 3, 4, 5};
  for (const RouterScore score : kScores) {
    const Routed routed = route(*cpu.backend, logits, 5, score, 3);
    EXPECT_EQ(routed.ids, (std::vector<int32_t>{1, 3, 0, 4, 3, 2}));
    EXPECT_TRUE(std::isnan(routed.weights[0]) && std::isnan(routed.weights[1]));
    // A softmax is one with its row; a sigmoid knows its own logit only.
    EXPECT_EQ(std::isnan(routed.weights[2]), score != RouterScore::kSigmoid);
    for (size_t j = 3; j < 6; ++j) EXPECT_FALSE(std::isnan(routed.weights[j]));  // the next row is not touched
  }
  const Routed one = route(*cpu.backend, {1, NAN, 3}, 3, RouterScore::kSoftmax, 1);
  EXPECT_EQ(one.ids[0], 1);
  EXPECT_TRUE(std::isnan(one.weights[0]));
}

TEST(Router, Extremes) {
  const Cpu cpu;
  const float big = 3e38f;
  for (const RouterScore score : kScores) {
    const Routed routed = route(*cpu.backend, {-big, 0, big, big, -INFINITY}, 5, score, 5);
    EXPECT_EQ(routed.ids, (std::vector<int32_t>{2, 3, 1, 0, 4}));
    const std::vector<float> expected =
        score == RouterScore::kSigmoid ? std::vector<float>{1, 1, 0.5f, 0, 0} : std::vector<float>{0.5f, 0.5f, 0, 0, 0};
    EXPECT_TRUE(test::same_bits(routed.weights, expected));
  }
  EXPECT_EQ(route(*cpu.backend, {-0.0f, 0.0f, -0.0f}, 3, RouterScore::kSoftmax, 3).ids,
            (std::vector<int32_t>{0, 1, 2}));  // zeros are equal
  EXPECT_TRUE(route(*cpu.backend, {}, 4, RouterScore::kSoftmax, 2).ids.empty());
}

// ---- what scales and joins rows ----

/// A chain of k products and sums, each rounded, then one addition.
TEST_P(MoeLevel, MixExperts) {
  const Cpu cpu(GetParam());
  const auto ref = make_ref_backend();
  for (const int64_t top_k : {1, 2, 5, 8}) {
    for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 63}, {2, 64}, {40, 577}}) {
      for (const bool weighted : {false, true}) {
        std::vector<float> y = test::random_floats(rows * top_k * n, next_seed());
        std::vector<float> weights = test::random_floats(rows * top_k, next_seed());
        const std::vector<float> before = test::random_floats(rows * n, next_seed());
        std::vector<float> out = before, specified = before, expected = before;
        const Tensor w = weighted ? view(weights, Shape{rows, top_k}) : Tensor{};
        cpu->mix_experts(view(y, Shape{rows, top_k, n}), w, view(out, Shape{rows, n}));
        ref->mix_experts(view(y, Shape{rows, top_k, n}), w, view(specified, Shape{rows, n}));
        std::vector<double> bounds(out.size());
        for (int64_t t = 0; t < rows; ++t) {
          for (int64_t i = 0; i < n; ++i) {
            const auto at = static_cast<size_t>(t * n + i);
            double sum = 0, size = 0;
            for (int64_t j = 0; j < top_k; ++j) {
              const auto slot = static_cast<size_t>(t * top_k + j);
              const double product = (weighted ? static_cast<double>(weights[slot]) : 1.0) *
                                     static_cast<double>(y[slot * static_cast<size_t>(n) + static_cast<size_t>(i)]);
              sum += product, size += std::abs(product);
            }
            const double exact = static_cast<double>(before[at]) + sum;
            expected[at] = static_cast<float>(exact);
            bounds[at] = (static_cast<double>(top_k) + 1) * 1.001 * test::kEps * size +
                         2.001 * test::kEps * std::abs(exact) + 0x1p-148;
          }
        }
        EXPECT_TRUE(test::all_close(out, expected, bounds)) << top_k << " of " << rows << " x " << n;
        EXPECT_TRUE(test::all_close(specified, expected, bounds));
        if (rows == 0) continue;
        std::vector<float> alone(before.end() - n, before.end());  // the last row by itself
        cpu->mix_experts(view(y, Shape{rows, top_k, n}).rows(rows - 1, 1), weighted ? w.rows(rows - 1, 1) : Tensor{},
                         view(alone, Shape{1, n}));
        EXPECT_TRUE(test::same_bits(alone, std::span(out).last(static_cast<size_t>(n))));
      }
    }
  }
  std::vector<float> y = {1, NAN, 2, 3, 4, 5, 6, 7}, weights = {1, 1, 0, NAN}, out(4);
  cpu->mix_experts(view(y, Shape{2, 2, 2}), view(weights, Shape{2, 2}), view(out, Shape{2, 2}));
  EXPECT_EQ(out[0], 3.0f);
  EXPECT_TRUE(std::isnan(out[1]) && std::isnan(out[2]) && std::isnan(out[3]));
}

/// The contract's 8 half steps, and below the normal range of e^-|g| its step of 2^-149, which x multiplies.
TEST_P(MoeLevel, SigmoidMul) {
  const Cpu cpu(GetParam());
  const auto ref = make_ref_backend();
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{0, 5}, {1, 1}, {7, 64}, {5, 100}, {60, 576}}) {
    for (const int64_t gates : {int64_t{1}, n}) {
      for (const float scale : {1.0f, 40.0f}) {
        std::vector<float> x = test::random_floats(rows * n, next_seed(), 100.0f);
        std::vector<float> gate = test::random_floats(rows * gates, next_seed(), scale);
        for (size_t i = 0; i < gate.size(); i += 37) gate[i] = i % 2 == 0 ? 200.0f : -200.0f;
        std::vector<float> out(x.size()), specified(x.size()), expected(x.size());
        const Shape shape{rows, n}, gate_shape{rows, gates};
        cpu->sigmoid_mul(view(x, shape), view(gate, gate_shape), view(out, shape));
        ref->sigmoid_mul(view(x, shape), view(gate, gate_shape), view(specified, shape));
        std::vector<double> bounds(x.size());
        for (size_t i = 0; i < x.size(); ++i) {
          const double g = static_cast<double>(gate[gates == 1 ? i / static_cast<size_t>(n) : i]);
          const double y = static_cast<double>(x[i]) / (1 + std::exp(-g));
          expected[i] = static_cast<float>(y);
          bounds[i] = 9 * test::kEps * std::abs(y) + (2 + std::abs(static_cast<double>(x[i]))) * 0x1p-148;
        }
        EXPECT_TRUE(test::all_close(out, expected, bounds)) << rows << " x " << n << ", " << gates;
        EXPECT_TRUE(test::all_close(specified, expected, bounds));
        std::vector<float> in_place = x;
        cpu->sigmoid_mul(view(in_place, shape), view(gate, gate_shape), view(in_place, shape));
        EXPECT_TRUE(test::same_bits(in_place, out));
        if (rows == 0) continue;
        std::vector<float> alone(static_cast<size_t>(n));
        cpu->sigmoid_mul(view(x, shape).rows(rows - 1, 1), view(gate, gate_shape).rows(rows - 1, 1),
                         view(alone, Shape{1, n}));
        EXPECT_TRUE(test::same_bits(alone, std::span(out).last(static_cast<size_t>(n))));
      }
    }
  }
}

TEST_P(MoeLevel, SigmoidMulOfExtremes) {
  const Cpu cpu(GetParam());
  std::vector<float> gate = {200, -200, INFINITY, -INFINITY, NAN, 0, -95, 1}, x = {3, 3, 3, 3, 3, 3, 1e30f, NAN};
  std::vector<float> out(8);
  cpu->sigmoid_mul(view(x, Shape{1, 8}), view(gate, Shape{1, 8}), view(out, Shape{1, 8}));
  EXPECT_TRUE(test::same_bits(std::span(out).first(4), std::vector<float>{3, 0, 3, 0}));
  EXPECT_TRUE(std::isnan(out[4]) && std::isnan(out[7]));
  EXPECT_EQ(out[5], 1.5f);
  EXPECT_NEAR(static_cast<double>(out[6]), 1e30 * std::exp(-95.0), 1e30 * 0x1p-148);
  std::vector<float> rows = {1, 2, 3, 4, 5, 6}, row_gate = {NAN, 0, 200}, y(6);
  cpu->sigmoid_mul(view(rows, Shape{3, 2}), view(row_gate, Shape{3, 1}), view(y, Shape{3, 2}));
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
  EXPECT_TRUE(test::same_bits(std::span(y).last(4), std::vector<float>{1.5f, 2, 5, 6}));
}

TEST_P(MoeLevel, ScaleRowsRoundsOnce) {
  const Cpu cpu(GetParam());
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {5, 65}, {50, 600}}) {
    for (const int64_t top_k : {1, 2, 5}) {
      std::vector<float> x = test::random_floats(rows * n, next_seed());
      std::vector<float> factors = test::random_floats(rows * top_k, next_seed()), out(x.size() * size_t(top_k)),
                         expected;
      if (rows > 0) x[0] = 1e-30f, factors[0] = 1e-12f;  // below the normal range
      for (size_t slot = 0; slot < factors.size(); ++slot) {
        for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
          const float value = x[slot / static_cast<size_t>(top_k) * static_cast<size_t>(n) + i];
          expected.push_back(static_cast<float>(static_cast<double>(value) * static_cast<double>(factors[slot])));
        }
      }
      cpu->scale_rows(view(x, Shape{rows, n}), view(factors, Shape{rows, top_k}), view(out, Shape{rows, top_k, n}));
      EXPECT_TRUE(test::same_bits(out, expected)) << rows << " x " << n << ", " << top_k;
      if (top_k > 1) continue;
      cpu->scale_rows(view(x, Shape{rows, n}), view(factors, Shape{rows, 1}), view(x, Shape{rows, 1, n}));
      EXPECT_TRUE(test::same_bits(x, expected));
    }
  }
}

TEST(JoinColumns, PutsOneBehindTheOther) {
  const Cpu cpu;
  const auto ref = make_ref_backend();
  for (const auto& [rows, left, right] :
       {std::tuple<size_t, size_t, size_t>{0, 2, 3}, {1, 1, 1}, {4, 0, 3}, {70, 33, 7}}) {
    const auto t = static_cast<int64_t>(rows), m = static_cast<int64_t>(left), n = static_cast<int64_t>(right);
    std::vector<float> a = test::random_floats(t * m, next_seed()), b = test::random_floats(t * n, next_seed());
    std::vector<float> expected, out(rows * (left + right)), specified(out.size());
    for (size_t row = 0; row < rows; ++row) {
      for (size_t i = 0; i < left; ++i) expected.push_back(a[row * left + i]);
      for (size_t i = 0; i < right; ++i) expected.push_back(b[row * right + i]);
    }
    const Shape shape{t, m + n};
    cpu->join_columns(view(a, Shape{t, m}), view(b, Shape{t, n}), view(out, shape));
    ref->join_columns(view(a, Shape{t, m}), view(b, Shape{t, n}), view(specified, shape));
    EXPECT_TRUE(test::same_bits(out, expected));
    EXPECT_TRUE(test::same_bits(specified, expected));
  }
}

}  // namespace
}  // namespace duet
