// What a type of keys and values costs on the shapes that attention comes in (docs/numerics.md has the table).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "model/synthetic.h"
#include "report/kl.h"
#include "tests/law_models.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

struct Shape {
  const char* name;
  const char* model;  // of tests/golden/text
  const char* head;   // what its configuration says of heads; they get 32 values, so that all types fit
  bool routes;        // a rounded key may choose another expert, which is no small change
};
constexpr Shape kShapes[] = {{"Qwen3, dense", "qwen3-dense", "\"head_dim\": 24", false},
                             {"Qwen3, experts", "qwen3moe", "\"head_dim\": 24", true},
                             {"Llama 4, chunks of 24", "llama4-scout", "\"head_dim\": 16", true},
                             {"Llama 4, dense and experts", "llama4-maverick", "\"head_dim\": 16", true},
                             {"Qwen3.5 hybrid, dense", "qwen35-dense", "\"head_dim\": 32", false},
                             {"Qwen3.5 hybrid, experts", "qwen35-moe", "\"head_dim\": 32", true},
                             {"Qwen3-Next", "qwen3next", "\"head_dim\": 32", true}};

/// What a type does to the logits of f32 pages.
struct Cost {
  double largest = 0;  // difference of a logit, relative to the largest logit
  double largest_absolute = 0;
  double typical = 0;  // root of the mean square of the differences, relative to that of the logits
  Divergence kl;
};

class KvTypeCost : public testing::TestWithParam<Shape> {
 protected:
  KvTypeCost() {
    std::string config = read_file(golden(std::string("text/") + GetParam().model) / "config.json");
    const size_t at = config.find(GetParam().head);
    EXPECT_NE(at, std::string::npos);
    if (at != std::string::npos) config.replace(at, std::string_view(GetParam().head).size(), "\"head_dim\": 32");
    std::ofstream(folder_ / "config.json") << config;
  }
  std::vector<float> logits(DType kv_type) {
    Runtime runtime(2);
    const Checkpoint checkpoint = open_synthetic(folder_ / "config.json", {.seed = 5});
    const ModelDescription model = describe_model(checkpoint);
    vocabulary_ = static_cast<size_t>(model.spec.vocabulary);
    Engine engine(Decoder::load(runtime.backend("cpu"), checkpoint, model, {}, {.kv_type = kv_type}));
    return score_all(engine, {law_prompt(400, model.spec.vocabulary, 9)}, false).logits;
  }
  Cost cost(std::span<const float> exact, std::span<const float> rounded) const {
    Cost cost;
    double largest = 0, squares = 0, errors = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      const double error = std::abs(static_cast<double>(rounded[i]) - static_cast<double>(exact[i]));
      cost.largest = std::max(cost.largest, error);
      largest = std::max(largest, std::abs(static_cast<double>(exact[i])));
      errors += error * error;
      squares += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
    }
    cost.largest_absolute = cost.largest;
    cost.largest /= largest;
    cost.typical = std::sqrt(errors / squares);
    DivergenceSum sum;
    for (size_t row = 0; row < exact.size(); row += vocabulary_) {
      std::vector<float> p(exact.begin() + static_cast<int64_t>(row),
                           exact.begin() + static_cast<int64_t>(row + vocabulary_));
      std::vector<float> q(rounded.begin() + static_cast<int64_t>(row),
                           rounded.begin() + static_cast<int64_t>(row + vocabulary_));
      log_softmax(p);
      log_softmax(q);
      sum.add(p, q);
    }
    cost.kl = sum.result();
    return cost;
  }
  const fs::path folder_ = temporary_folder();
  size_t vocabulary_ = 0;
};

/// To first order a rounding error e of the pages changes the logits by A e, A a number of the model and the text, so
/// their root mean squares are in the ratio of the errors'. For values of a normal distribution, sd s: f16 has 2^-10
/// 2^exponent / sqrt(12), mean square over a logarithmic mantissa (1 - 1/4) / (2 ln 2) of that: 2.1e-4 s. bf16 has 8
/// times that. q8_0 has max / 127 / sqrt(12) with the largest of 32 values at 2.4 s: 5.5e-3 s, 26 times that of f16.
/// Where experts are chosen the logits jump with each other choice, so there only the order is held.
TEST_P(KvTypeCost, GrowsWithTheRounding) {
  const std::vector<float> exact = logits(DType::kF32);
  Cost costs[3];
  const DType types[] = {DType::kF16, DType::kBF16, DType::kQ8_0};
  for (size_t i = 0; i < 3; ++i) {
    costs[i] = cost(exact, logits(types[i]));
    fmt::print("{} | {} | {:.1e} | {:.1e} | {:.1e}, {:.1e} | {:.1f} %\n", GetParam().name, dtype_info(types[i]).name,
               costs[i].largest, costs[i].typical, costs[i].kl.mean, costs[i].kl.percentile_99,
               100 * costs[i].kl.same_top);
  }
  const auto& [f16, bf16, q8] = costs;
  EXPECT_GT(f16.typical, 0);
  // With q ~ p e^D, KL(p || q) = ln E[e^D] - E[D] under p, which is at most (max D - min D)^2 / 8 (Hoeffding's lemma).
  // On top the rounding of log-probabilities to float32.
  for (const Cost& one : costs) EXPECT_LE(one.kl.highest, one.largest_absolute * one.largest_absolute / 2 + 1e-6);
  if (!GetParam().routes) {
    EXPECT_NEAR(bf16.typical / f16.typical, 8, 2);
    EXPECT_NEAR(q8.typical / f16.typical, 26, 6);
  }
  EXPECT_LT(f16.typical, bf16.typical);
  EXPECT_LT(f16.kl.mean, bf16.kl.mean);
}

INSTANTIATE_TEST_SUITE_P(Shapes, KvTypeCost, testing::ValuesIn(kShapes), [](const auto& tested) {
  std::string name = tested.param.model;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace duet::test
