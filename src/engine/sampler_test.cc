#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support.h"

namespace duet {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, -1.0f, 2.5f, 0.0f};

/// Probabilities of kLogits at a temperature, restricted to `kept` (empty: all).
std::vector<double> expected_shares(double temperature, const std::vector<size_t>& kept) {
  std::vector<double> p(kLogits.size(), 0);
  double total = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (kept.empty() || std::find(kept.begin(), kept.end(), i) != kept.end())
      p[i] = std::exp(static_cast<double>(kLogits[i]) / temperature);
    total += p[i];
  }
  for (double& v : p) v /= total;
  return p;
}

/// Chi-square of 200,000 draws against the expected shares; positions are the draws, so one seed gives independent
/// noise.
void check_shares(const SamplingParams& params, const std::vector<double>& shares) {
  constexpr int kDraws = 200000;
  std::vector<int> counts(shares.size());
  for (int i = 0; i < kDraws; ++i) {
    auto logits = kLogits;
    ++counts[static_cast<size_t>(to_int(sample(logits, params, {.position = i})))];
  }
  double chi = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] == 0) {
      EXPECT_EQ(counts[i], 0) << i;
      continue;
    }
    const double expected = shares[i] * kDraws;
    chi += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_LT(chi, 25.7) << "the 0.9999 quantile for 5 degrees of freedom";
}

TEST(Sampler, TemperatureFollowsTheSoftmax) {
  check_shares({.temperature = 1.0f, .seed = 1}, expected_shares(1.0, {}));
  check_shares({.temperature = 0.5f, .seed = 2}, expected_shares(0.5, {}));
}

TEST(Sampler, FiltersKeepTheirSets) {
  check_shares({.temperature = 1.0f, .top_k = 2, .seed = 3}, expected_shares(1.0, {1, 4}));
  // Shares at temperature 1: 0.44, 0.27, 0.16, 0.06, 0.02, 0.01 for ids 1, 4, 2, 0, 5, 3.
  check_shares({.temperature = 1.0f, .top_p = 0.5f, .seed = 4}, expected_shares(1.0, {1, 4}));
  check_shares({.temperature = 1.0f, .min_p = 0.3f, .seed = 5}, expected_shares(1.0, {1, 4, 2}));
  check_shares({.temperature = 1.0f, .top_k = 1, .seed = 6}, expected_shares(1.0, {1}));
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  std::vector<float> logits = {0, 5, 5, 1};
  EXPECT_EQ(sample(logits, {}, {}), TokenId{1});
  const TokenId history[] = {TokenId{1}, TokenId{1}};
  EXPECT_EQ(sample(logits, {.repetition_penalty = 2.0f}, {.history = history}), TokenId{2});
  EXPECT_EQ(logits[1], 2.5f) << "a token seen twice is penalised once";
}

TEST(Sampler, TheSameArgumentsGiveTheSameToken) {
  for (int i = 0; i < 100; ++i) {
    auto a = kLogits, b = kLogits;
    EXPECT_EQ(sample(a, {.temperature = 2.0f, .seed = 9}, {.position = i}),
              sample(b, {.temperature = 2.0f, .seed = 9}, {.position = i}));
  }
}

TEST(Sampler, RefusesParametersOutOfRange) {
  EXPECT_ERROR(check_sampling({.temperature = -1}), ErrorCode::kBadValue, "temperature");
  EXPECT_ERROR(check_sampling({.temperature = NAN}), ErrorCode::kBadValue, "temperature");
  EXPECT_ERROR(check_sampling({.top_k = -1}), ErrorCode::kBadValue, "top-k");
  EXPECT_ERROR(check_sampling({.top_p = 1.5f}), ErrorCode::kBadValue, "top-p");
  EXPECT_ERROR(check_sampling({.min_p = 2}), ErrorCode::kBadValue, "min-p");
  EXPECT_ERROR(check_sampling({.repetition_penalty = 0}), ErrorCode::kBadValue, "repeat-penalty");
}

}  // namespace
}  // namespace duet
