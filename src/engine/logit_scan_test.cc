#include "engine/logit_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/noise.h"
#include "engine/sampler.h"

namespace duet {
namespace {

std::vector<float> random_logits(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> logits(count);
  // Coarse steps, so that many are equal.
  for (float& x : logits) x = std::round(normal(random) * 8) / 8;
  return logits;
}

TEST(LogitScan, TellsOfEachPieceWhatAPlainPassDoes) {
  for (const size_t count : {size_t{1}, size_t{15}, size_t{1023}, size_t{1024}, size_t{1025}, size_t{50000}}) {
    const std::vector<float> logits = random_logits(count, 3);
    const LogitScan scan(logits);
    ASSERT_EQ(scan.end_of(scan.pieces() - 1), count);
    size_t next = 0;
    for (size_t p = 0; p < scan.pieces(); ++p) {
      ASSERT_EQ(LogitScan::begin_of(p), next);
      next = scan.end_of(p);
      const auto begin = logits.begin() + static_cast<int64_t>(LogitScan::begin_of(p));
      ASSERT_EQ(scan.largest(p), *std::max_element(begin, logits.begin() + static_cast<int64_t>(next)));
    }
    EXPECT_TRUE(scan.finite());
    const auto best = std::max_element(logits.begin(), logits.end());
    EXPECT_EQ(to_int(scan.argmax(logits)), best - logits.begin());

    LogitScan shared(count);
    for (const size_t part : {size_t{2}, size_t{0}, size_t{4}, size_t{1}, size_t{3}}) shared.scan(logits, part, 5);
    for (size_t p = 0; p < scan.pieces(); ++p) ASSERT_EQ(shared.largest(p), scan.largest(p));
  }
}

TEST(LogitScan, SeesEveryValueThatIsNotFinite) {
  std::vector<float> logits = random_logits(5000, 4);
  for (size_t at = 0; at < logits.size(); at += 37) {
    const float was = logits[at];
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      logits[at] = bad;
      ASSERT_FALSE(LogitScan(logits).finite()) << at;
    }
    logits[at] = was;
  }
  EXPECT_TRUE(LogitScan(logits).finite());
}

TEST(LogitScan, AtLeastSoManyLogitsReachWhatItSays) {
  const std::vector<float> logits = random_logits(60000, 5);
  const LogitScan scan(logits);
  for (const size_t count : {size_t{1}, size_t{20}, scan.pieces()}) {
    const float reached = scan.reached_by(count);
    EXPECT_GE(std::count_if(logits.begin(), logits.end(), [&](float x) { return x >= reached; }),
              static_cast<int64_t>(count));
    EXPECT_GT(reached, 0) << "of " << scan.pieces() << " pieces the largest are no small numbers";
  }
  EXPECT_EQ(scan.reached_by(scan.pieces() + 1), std::numeric_limits<float>::lowest());
}

TEST(LogitScan, WhatSamplingLeavesOutChangesNothing) {
  const std::vector<float> logits = random_logits(60000, 6);
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (const int64_t count : {1, 20, 58, 59, 60, 500}) {
    const auto top = token_logprobs(logits, TokenId{0}, count).alternatives;
    ASSERT_EQ(static_cast<int64_t>(top.size()), count);
    for (size_t i = 0; i < top.size(); ++i) ASSERT_EQ(to_int(top[i].id), order[i]) << i << " of " << count;
  }
  // min-p against the plain argmax over all that it keeps.
  const double best_logit = static_cast<double>(logits[static_cast<size_t>(order[0])]);
  for (const float min_p : {0.9f, 0.1f, 1e-4f}) {
    for (int64_t position = 0; position < 20; ++position) {
      double best = -INFINITY;
      int32_t expected = 0;
      for (size_t id = 0; id < logits.size(); ++id) {
        const double scaled = static_cast<double>(logits[id]) / 2;
        if (scaled < best_logit / 2 + std::log(static_cast<double>(min_p))) continue;
        const uint64_t bits = noise_bits({3, 0, position}, NoisePurpose::kToken, static_cast<uint32_t>(id));
        if (const double noisy = scaled + gumbel_of(bits); noisy > best) {
          best = noisy, expected = static_cast<int32_t>(id);
        }
      }
      auto row = logits;
      EXPECT_EQ(sample(row, {.temperature = 2.0f, .min_p = min_p, .seed = 3}, {.position = position}),
                TokenId{expected});
    }
  }
}

}  // namespace
}  // namespace duet
