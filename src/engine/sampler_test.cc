#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "engine/noise.h"
#include "tests/support.h"

namespace duet {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, -1.0f, 2.5f, 0.0f};

TEST(Sampler, WholeVocabulariesAreSeenAtEveryLength) {
  for (size_t n = 1; n <= 67; ++n) {
    for (size_t at = 0; at < n; ++at) {
      std::vector<float> logits(n, -3.0f);
      logits[at] = -2.0f;
      logits[n - 1] = -2.0f;  // an equal one that comes later
      EXPECT_EQ(to_int(argmax(logits)), static_cast<int32_t>(at)) << n;
      EXPECT_TRUE(all_finite(logits));
      for (const float bad : {INFINITY, -INFINITY, NAN, -NAN}) {
        logits[at] = bad;
        EXPECT_FALSE(all_finite(logits)) << n << " " << at;
      }
    }
  }
  EXPECT_EQ(to_int(argmax(std::vector<float>(40, -INFINITY))), 0);
  EXPECT_TRUE(all_finite(std::vector<float>(40, -std::numeric_limits<float>::max())));
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

TEST(Sampler, TheNoiseIsPhilox) {
  // The known answer of Philox4x32-10 for counter and key 0 (Random123, kat_vectors) is 6627e8d5 e169c58d ...
  EXPECT_EQ(noise_bits({}, NoisePurpose::kToken, 0),
            ((uint64_t{0x6627e8d5} << 21) ^ (uint64_t{0xe169c58d} >> 11)) & ((uint64_t{1} << 53) - 1));
  EXPECT_NE(noise_bits({}, NoisePurpose::kXtc, 0), noise_bits({}, NoisePurpose::kToken, 0));
  EXPECT_LT(gumbel_of((uint64_t{1} << 53) - 1), kMaxGumbel);
  EXPECT_GT(gumbel_of(0), kMinGumbel);
}

TEST(Sampler, SelectionIsTheSameAsSortingWhateverTheSize) {
  // Many equal logits, so that ties decide at every border.
  std::vector<float> logits(3000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7919 % 61) * 0.25f;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (const int64_t count : {1, 2, 49, 50, 51, 1500, 2999, 3000}) {
    const auto top = token_logprobs(logits, TokenId{0}, count).alternatives;
    ASSERT_EQ(static_cast<int64_t>(top.size()), count);
    for (size_t i = 0; i < top.size(); ++i) ASSERT_EQ(to_int(top[i].id), order[i]) << i << " of " << count;
    std::set<int32_t> kept(order.begin(), order.begin() + count);
    for (int position = 0; position < 50; ++position) {
      auto row = logits;
      const TokenId id = sample(row, {.temperature = 100.0f, .top_k = count}, {.position = position});
      ASSERT_TRUE(kept.contains(to_int(id))) << to_int(id) << " with top-k " << count;
    }
  }
}

TEST(Sampler, WhatIsOutOfReachIsNotLookedAtAndChangesNothing) {
  // The draw skips tokens whose noise cannot win; here is the plain argmax over all of them.
  std::vector<float> logits(5000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 104729 % 997) * 0.06f;
  for (int64_t position = 0; position < 200; ++position) {
    double best = -INFINITY;
    int32_t expected = 0;
    for (int32_t id = 0; id < 5000; ++id) {
      const uint64_t bits = noise_bits({3, 2, position}, NoisePurpose::kToken, static_cast<uint32_t>(id));
      const double noisy = static_cast<double>(logits[static_cast<size_t>(id)]) / 2 + gumbel_of(bits);
      if (noisy > best) best = noisy, expected = id;
    }
    auto row = logits;
    EXPECT_EQ(sample(row, {.temperature = 2.0f, .seed = 3}, {.position = position, .choice = 2}), TokenId{expected});
  }
}

TEST(Sampler, NoStepLeavesNothing) {
  const float largest = std::numeric_limits<float>::max();
  SamplingParams strict{.temperature = 1e-30f,
                        .top_k = 5,
                        .top_p = 1e-30f,
                        .min_p = 1.0f,
                        .typical_p = 1e-30f,
                        .xtc_probability = 1.0f,
                        .xtc_threshold = 0.0f};
  for (const float logit : {0.0f, largest, -largest, 1e-45f}) {
    for (const float temperature : {0.0f, 1e-45f, 1e-30f, 1.0f, 1e4f}) {
      for (const int64_t top_k : {0, 2, 5}) {
        strict.temperature = temperature, strict.top_k = top_k;
        std::vector<float> logits = {logit, -logit, logit, 0.0f, logit / 2};
        const TokenId id = sample(logits, strict, {});
        EXPECT_TRUE(to_int(id) >= 0 && to_int(id) < 5) << to_int(id);
      }
    }
  }
  // Biases that take everything down as far as floats go.
  for (const float bias : {-100.0f, -largest, largest, -INFINITY}) {
    for (const float temperature : {0.0f, 1.0f}) {
      std::vector<float> logits = kLogits;
      SamplingParams params{.temperature = temperature, .top_p = 0.9f, .typical_p = 0.9f};
      for (int32_t i = 0; i < 6; ++i) params.logit_bias.emplace_back(TokenId{i}, bias);
      const TokenId id = sample(logits, params, {});
      EXPECT_TRUE(to_int(id) >= 0 && to_int(id) < 6) << to_int(id);
      EXPECT_TRUE(std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }));
    }
  }
  std::vector<float> one = {-3.0f};
  EXPECT_EQ(sample(one, strict, {}), TokenId{0});
}

TEST(Sampler, LogprobsAreThoseOfTheModel) {
  const TokenLogprobs result = token_logprobs(kLogits, TokenId{3}, 2);
  double total = 0;
  for (const float v : kLogits) total += std::exp(static_cast<double>(v));
  EXPECT_FLOAT_EQ(result.chosen, static_cast<float>(-1.0 - std::log(total)));
  ASSERT_EQ(result.alternatives.size(), 2u);
  EXPECT_EQ(result.alternatives[0].id, TokenId{1});
  EXPECT_FLOAT_EQ(result.alternatives[0].logprob, static_cast<float>(3.0 - std::log(total)));
  EXPECT_EQ(result.alternatives[1].id, TokenId{4});
  EXPECT_EQ(token_logprobs(kLogits, TokenId{3}, 100).alternatives.size(), kLogits.size());
  EXPECT_TRUE(token_logprobs(kLogits, TokenId{3}, 0).alternatives.empty());
  // Very wide logits neither overflow nor lose the sum.
  const std::vector<float> huge = {3e38f, -3e38f, 3e38f};
  EXPECT_FLOAT_EQ(token_logprobs(huge, TokenId{0}, 0).chosen, static_cast<float>(-std::log(2.0)));
  EXPECT_EQ(token_logprobs(huge, TokenId{1}, 0).chosen, std::numeric_limits<float>::lowest());
}

TEST(Sampler, RefusesParametersOutOfRange) {
  EXPECT_ERROR(check_sampling({.temperature = -1}), ErrorCode::kBadValue, "temperature");
  EXPECT_ERROR(check_sampling({.temperature = NAN}), ErrorCode::kBadValue, "temperature");
  EXPECT_ERROR(check_sampling({.top_k = -1}), ErrorCode::kBadValue, "top-k");
  EXPECT_ERROR(check_sampling({.top_p = 1.5f}), ErrorCode::kBadValue, "top-p");
  EXPECT_ERROR(check_sampling({.min_p = 2}), ErrorCode::kBadValue, "min-p");
  EXPECT_ERROR(check_sampling({.repetition_penalty = 0}), ErrorCode::kBadValue, "repeat-penalty");
  EXPECT_ERROR(check_sampling({.typical_p = 0}), ErrorCode::kBadValue, "typical-p is 0, legal: above 0, at most 1");
  EXPECT_ERROR(check_sampling({.xtc_probability = 1.5f}), ErrorCode::kBadValue, "xtc-probability");
  EXPECT_ERROR(check_sampling({.xtc_threshold = -1}), ErrorCode::kBadValue, "xtc-threshold");
  EXPECT_ERROR(check_sampling({.presence_penalty = INFINITY}), ErrorCode::kBadValue, "presence-penalty");
  EXPECT_ERROR(check_sampling({.frequency_penalty = 101}), ErrorCode::kBadValue, "frequency-penalty");
  EXPECT_ERROR(check_sampling({.dry_multiplier = NAN}), ErrorCode::kBadValue, "dry-multiplier");
  EXPECT_ERROR(check_sampling({.dry_base = 0.5f}), ErrorCode::kBadValue, "dry-base");
  EXPECT_ERROR(check_sampling({.dry_allowed_length = 0}), ErrorCode::kBadValue, "dry-allowed-length");
  EXPECT_ERROR(check_sampling({.logit_bias = {{TokenId{9}, NAN}}}), ErrorCode::kBadValue, "logit-bias of token id 9");
  EXPECT_ERROR(check_sampling({.logit_bias = {{TokenId{9}, 1}}}, 9), ErrorCode::kBadValue, "token id 9, legal: 0 to 8");
  EXPECT_ERROR(check_sampling({.logit_bias = {{TokenId{-1}, 1}}}, 9), ErrorCode::kBadValue, "token id -1");
  EXPECT_ERROR(check_sampling({.dry_breakers = {{}}}), ErrorCode::kBadValue, "dry-breaker");
  EXPECT_ERROR(check_sampling({.dry_breakers = {{TokenId{9}}}}, 9), ErrorCode::kBadValue, "dry-breaker");
}

}  // namespace
}  // namespace duet
