// Each step of sampling against its definition (docs/numerics.md), computed here once more in plain double arithmetic:
// chi-square over 10^6 draws, whose counter is the position.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "engine/penalties.h"
#include "engine/sampler.h"

namespace duet {
namespace {

struct Case {
  std::vector<float> logits;
  SamplingParams params;
  std::vector<TokenId> history = {};
  size_t prompt_tokens = 0;
};

std::vector<TokenId> ids(std::initializer_list<int> values) {
  std::vector<TokenId> result;
  for (const int value : values) result.push_back(TokenId{value});
  return result;
}

size_t index_of(TokenId id) { return static_cast<size_t>(to_int(id)); }
double wide(float value) { return static_cast<double>(value); }

/// Longest repetition that `next` would prolong, straight from the words of the definition.
int64_t repeat_length(const Case& c, TokenId next) {
  const auto& h = c.history;
  size_t fresh = 0;  // where the tokens after the last breaker begin
  for (size_t begin = h.size(); begin-- > 0 && fresh == 0;) {
    for (const auto& breaker : c.params.dry_breakers) {
      if (begin + breaker.size() <= h.size() &&
          std::equal(breaker.begin(), breaker.end(), h.begin() + static_cast<int64_t>(begin))) {
        fresh = std::max(fresh, begin + breaker.size());
      }
    }
  }
  int64_t longest = 0;
  for (size_t place = 1; place < h.size(); ++place) {
    if (h[place] != next) continue;
    size_t length = 0;
    while (length < place && length < h.size() - fresh && h[place - 1 - length] == h[h.size() - 1 - length]) ++length;
    longest = std::max(longest, static_cast<int64_t>(length));
  }
  return longest;
}

std::vector<double> penalised(const Case& c) {
  std::vector<double> logits(c.logits.begin(), c.logits.end());
  for (const auto& [id, bias] : c.params.logit_bias) logits[index_of(id)] += wide(bias);
  const double repetition = wide(c.params.repetition_penalty);
  for (const int32_t id : [&] {
         std::set<int32_t> seen;
         for (const TokenId t : c.history) seen.insert(to_int(t));
         return seen;
       }()) {
    double& logit = logits[static_cast<size_t>(id)];
    logit = logit < 0 ? logit * repetition : logit / repetition;
  }
  std::map<int32_t, int> counts;
  for (size_t i = c.prompt_tokens; i < c.history.size(); ++i) ++counts[to_int(c.history[i])];
  for (const auto& [id, count] : counts) {
    logits[static_cast<size_t>(id)] -= count * wide(c.params.frequency_penalty) + wide(c.params.presence_penalty);
  }
  for (size_t id = 0; id < logits.size(); ++id) {
    const TokenId token{static_cast<int32_t>(id)};
    const std::vector<TokenId> alone = {token};
    const auto& breakers = c.params.dry_breakers;
    if (std::find(breakers.begin(), breakers.end(), alone) != breakers.end()) continue;
    const int64_t length = repeat_length(c, token);
    if (length < c.params.dry_allowed_length) continue;
    logits[id] -= wide(c.params.dry_multiplier) *
                  std::pow(wide(c.params.dry_base), static_cast<double>(length - c.params.dry_allowed_length));
  }
  return logits;
}

std::vector<double> softmax(const std::vector<double>& logits, const std::vector<bool>& kept) {
  double best = -INFINITY, total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (kept[i]) best = std::max(best, logits[i]);
  }
  std::vector<double> p(logits.size());
  for (size_t i = 0; i < p.size(); ++i) total += p[i] = kept[i] ? std::exp(logits[i] - best) : 0;
  for (double& v : p) v /= total;
  return p;
}

/// Ids of the kept tokens, ascending by `key`, then by id.
template <typename Key>
std::vector<size_t> ordered(const std::vector<bool>& kept, Key key) {
  std::vector<size_t> order;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  return order;
}

/// What each token's share of the draws must be.
std::vector<double> definition(const Case& c) {
  const SamplingParams& q = c.params;
  std::vector<double> logits = penalised(c);
  for (double& logit : logits) logit /= wide(q.temperature);
  std::vector<bool> kept(logits.size(), true);
  const auto keep_first = [&](const std::vector<size_t>& order, size_t count) {
    for (size_t i = count; i < order.size(); ++i) kept[order[i]] = false;
  };
  const auto count_until = [&](const std::vector<size_t>& order, const std::vector<double>& p, double mass) {
    double sum = 0;
    size_t count = 0;
    while (count < order.size() && sum < mass) sum += p[order[count++]];
    return count;
  };
  const auto by_logit = [&](size_t i) { return -logits[i]; };
  if (q.top_k > 0) keep_first(ordered(kept, by_logit), static_cast<size_t>(q.top_k));
  if (q.top_p < 1) {
    const auto order = ordered(kept, by_logit);
    keep_first(order, count_until(order, softmax(logits, kept), wide(q.top_p)));
  }
  if (q.min_p > 0) {
    const auto p = softmax(logits, kept);
    const double most = *std::max_element(p.begin(), p.end());
    for (size_t i = 0; i < p.size(); ++i) kept[i] = kept[i] && p[i] >= wide(q.min_p) * most;
  }
  if (q.typical_p < 1) {
    const auto p = softmax(logits, kept);
    double entropy = 0;
    for (const double v : p) entropy -= v > 0 ? v * std::log(v) : 0;
    const auto order = ordered(kept, [&](size_t i) { return std::abs(-std::log(p[i]) - entropy); });
    keep_first(order, count_until(order, p, wide(q.typical_p)));
  }
  auto p = softmax(logits, kept);
  if (q.xtc_probability > 0) {
    std::vector<size_t> top;
    for (const size_t i : ordered(kept, by_logit)) {
      if (p[i] >= wide(q.xtc_threshold)) top.push_back(i);
    }
    if (!top.empty()) top.pop_back();
    for (const size_t i : top) kept[i] = false;
    const auto without = softmax(logits, kept);
    const double often = wide(q.xtc_probability);
    for (size_t i = 0; i < p.size(); ++i) p[i] = often * without[i] + (1 - often) * p[i];
  }
  return p;
}

/// The 1 - 1e-6 quantile of chi-square (Wilson and Hilferty 1931).
double chi_square_limit(size_t degrees) {
  const double k = static_cast<double>(degrees), z = 4.7534;
  return k * std::pow(1 - 2 / (9 * k) + z * std::sqrt(2 / (9 * k)), 3);
}

void check_counts(const std::vector<int>& counts, const std::vector<double>& shares, double draws) {
  double chi = 0, rare_expected = 0, rare_count = 0;
  size_t cells = 0;
  const auto add = [&](double count, double expected) {
    chi += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " was left out";
    } else if (shares[i] * draws < 10) {
      rare_expected += shares[i] * draws, rare_count += counts[i];
    } else {
      add(counts[i], shares[i] * draws);
    }
  }
  if (rare_expected >= 5) add(rare_count, rare_expected);
  if (cells > 1) {
    EXPECT_LT(chi, chi_square_limit(cells - 1)) << cells << " cells";
  }
}

void check_case(const Case& c, int draws) {
  std::vector<int> counts(c.logits.size());
  std::vector<float> logits;
  for (int i = 0; i < draws; ++i) {
    logits = c.logits;
    const SamplingPlace place{
        .history = c.history, .prompt_tokens = static_cast<int64_t>(c.prompt_tokens), .position = i};
    ++counts[index_of(sample(logits, c.params, place))];
  }
  check_counts(counts, definition(c), draws);
}

constexpr int kDraws = 1000000;
const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, -1.0f, 2.5f, 0.0f, 1.6f, -2.2f};

TEST(SamplingLaw, Temperature) {
  check_case({kLogits, {.temperature = 1.0f, .seed = 1}}, kDraws);
  check_case({kLogits, {.temperature = 0.4f, .seed = 2}}, kDraws / 4);
  check_case({kLogits, {.temperature = 3.0f, .seed = 3}}, kDraws / 4);
}
TEST(SamplingLaw, TopK) { check_case({kLogits, {.temperature = 1.0f, .top_k = 4, .seed = 4}}, kDraws); }
TEST(SamplingLaw, TopP) { check_case({kLogits, {.temperature = 1.5f, .top_p = 0.8f, .seed = 5}}, kDraws); }
TEST(SamplingLaw, MinP) { check_case({kLogits, {.temperature = 1.0f, .min_p = 0.2f, .seed = 6}}, kDraws); }
TEST(SamplingLaw, Typical) {
  const Case c{{1.5f, 0.3f, 0.1f, 0.2f, -0.1f, 0.0f, 0.15f, -2.0f},
               {.temperature = 1.0f, .typical_p = 0.5f, .seed = 7}};
  EXPECT_EQ(definition(c)[0], 0) << "the case leaves out the likeliest token";
  check_case(c, kDraws);
}
TEST(SamplingLaw, Xtc) {
  check_case({kLogits, {.temperature = 1.0f, .xtc_probability = 0.6f, .xtc_threshold = 0.12f, .seed = 8}}, kDraws);
  check_case({kLogits, {.temperature = 1.0f, .xtc_probability = 1.0f, .xtc_threshold = 0.0f, .seed = 9}}, 100);
}
TEST(SamplingLaw, RepetitionPenalty) {
  check_case({kLogits, {.temperature = 1.0f, .repetition_penalty = 1.7f, .seed = 10}, ids({1, 3, 1, 5, 1}), 2}, kDraws);
}
TEST(SamplingLaw, PresencePenalty) {
  check_case({kLogits, {.temperature = 1.0f, .presence_penalty = 0.9f, .seed = 11}, ids({4, 2, 1, 1, 6}), 2}, kDraws);
}
TEST(SamplingLaw, FrequencyPenalty) {
  check_case({kLogits, {.temperature = 1.0f, .frequency_penalty = 0.7f, .seed = 12}, ids({4, 2, 1, 1, 6, 1}), 2},
             kDraws);
}
TEST(SamplingLaw, Dry) {
  const Case c{kLogits,
               {.temperature = 1.0f,
                .dry_multiplier = 0.5f,
                .dry_base = 1.5f,
                .dry_allowed_length = 1,
                .dry_breakers = {ids({7}), ids({6, 3})},
                .seed = 13},
               ids({0, 1, 2, 4, 7, 1, 2, 0, 6, 3, 5, 1, 2}),
               4};
  EXPECT_EQ(repeat_length(c, TokenId{4}), 2);
  EXPECT_EQ(repeat_length(c, TokenId{0}), 2);
  check_case(c, kDraws);
}
TEST(SamplingLaw, LogitBias) {
  check_case({kLogits,
              {.temperature = 1.0f,
               .logit_bias = {{TokenId{3}, 3.5f}, {TokenId{1}, -100.0f}, {TokenId{3}, 0.25f}},
               .seed = 14}},
             kDraws);
}
TEST(SamplingLaw, AllTogether) {
  check_case({kLogits,
              {.temperature = 1.8f,
               .top_k = 7,
               .top_p = 0.97f,
               .min_p = 0.02f,
               .typical_p = 0.95f,
               .xtc_probability = 0.3f,
               .xtc_threshold = 0.2f,
               .repetition_penalty = 1.2f,
               .presence_penalty = 0.3f,
               .frequency_penalty = 0.2f,
               .dry_multiplier = 0.4f,
               .dry_base = 1.3f,
               .dry_allowed_length = 1,
               .dry_breakers = {ids({5})},
               .logit_bias = {{TokenId{0}, 0.7f}},
               .seed = 15},
              ids({2, 4, 1, 6, 5, 2, 4}),
              3},
             kDraws);
}

TEST(SamplingLaw, AnyParametersOnAnySmallVocabulary) {
  std::mt19937 random(2026);
  const auto number = [&](double low, double high) {
    return static_cast<float>(std::uniform_real_distribution<double>(low, high)(random));
  };
  const auto below = [&](int64_t limit) { return std::uniform_int_distribution<int64_t>(0, limit - 1)(random); };
  const auto often = [&] { return below(3) == 0; };
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    const int64_t vocabulary = 7 + below(44);
    const auto any_id = [&] { return TokenId{static_cast<int32_t>(below(vocabulary))}; };
    Case c{std::vector<float>(static_cast<size_t>(vocabulary)), {}};
    for (float& logit : c.logits) logit = number(-4, 4);
    for (int64_t i = below(30); i > 0; --i) c.history.push_back(TokenId{static_cast<int32_t>(below(4))});
    c.prompt_tokens = c.history.size() / 2;
    SamplingParams& q = c.params;
    q.temperature = number(0.3, 3);
    q.seed = static_cast<uint64_t>(round);
    if (often()) q.top_k = 1 + below(vocabulary);
    if (often()) q.top_p = number(0.1, 1);
    if (often()) q.min_p = number(0, 0.5);
    if (often()) q.typical_p = number(0.1, 1);
    if (often()) q.xtc_probability = number(0, 1), q.xtc_threshold = number(0, 0.5);
    if (often()) q.repetition_penalty = number(0.5, 2);
    if (often()) q.presence_penalty = number(-1, 1), q.frequency_penalty = number(-0.5, 0.5);
    if (often()) q.logit_bias = {{any_id(), number(-5, 5)}, {any_id(), number(-5, 5)}};
    if (often()) {
      q.dry_multiplier = number(0, 1), q.dry_base = number(1, 2), q.dry_allowed_length = 1 + below(3);
      for (int64_t i = below(3); i > 0; --i) {
        q.dry_breakers.emplace_back();
        for (int64_t j = below(3); j >= 0; --j)
          q.dry_breakers.back().push_back(TokenId{static_cast<int32_t>(below(4))});
      }
    }
    check_case(c, 2000);
  }
}

/// Chi-square of pairs of draws against the product of their shares.
template <typename First, typename Second>
void check_independent(First first, Second second) {
  constexpr int kPairs = 100000;
  const Case c{{1.0f, 0.5f, 0.0f, -0.5f}, {.temperature = 1.0f}};
  const auto p = definition(c);
  std::vector<int> counts(p.size() * p.size());
  std::vector<double> shares;
  for (const double a : p) {
    for (const double b : p) shares.push_back(a * b);
  }
  const auto draw = [&](const std::tuple<uint64_t, int32_t, int64_t>& where) {
    SamplingParams params = c.params;
    params.seed = std::get<0>(where);
    std::vector<float> logits = c.logits;
    return index_of(sample(logits, params, {.position = std::get<2>(where), .choice = std::get<1>(where)}));
  };
  for (int i = 0; i < kPairs; ++i) ++counts[draw(first(i)) * p.size() + draw(second(i))];
  check_counts(counts, shares, kPairs);
}

TEST(SamplingLaw, SeedsChoicesAndPositionsAreIndependent) {
  using Where = std::tuple<uint64_t, int32_t, int64_t>;
  const auto plain = [](int i) { return Where{7, 0, i}; };
  check_independent(plain, [](int i) { return Where{7, 1, i}; });
  check_independent(plain, [](int i) { return Where{8, 0, i}; });
  check_independent([](int i) { return Where{7, 0, 2 * i}; }, [](int i) { return Where{7, 0, 2 * i + 1}; });
  check_independent(plain, [](int i) { return Where{7, 0, int64_t{i} + (int64_t{1} << 32)}; });
  check_independent([](int i) { return Where{7, i, 3}; }, [](int i) { return Where{7, i, 4}; });
}

TEST(Dry, TheLinearAlgorithmFollowsTheDefinition) {
  std::mt19937 random(5);
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    Case c{std::vector<float>(3), {.dry_allowed_length = static_cast<int64_t>(1 + random() % 3)}};
    for (size_t i = random() % 40; i > 0; --i) c.history.push_back(TokenId{static_cast<int32_t>(random() % 3)});
    if (round % 3 == 1) c.params.dry_breakers = {ids({2}), ids({0, 1, 0, 1})};
    if (round % 3 == 2) c.params.dry_breakers = {ids({0, 1}), ids({2, 0, 0}), ids({2}), ids({2, 0}), ids({0, 1, 1})};
    const auto repeats = dry_repeats(c.history, c.params.dry_breakers, c.params.dry_allowed_length, 3);
    for (int32_t id = 0; id < 3; ++id) {
      const auto it = repeats.find(id);
      const int64_t length = repeat_length(c, TokenId{id});
      const bool expected = length >= c.params.dry_allowed_length && (round % 3 == 0 || id != 2);
      ASSERT_EQ(it != repeats.end(), expected) << "round " << round << ", token " << id;
      ASSERT_EQ(expected ? it->second : 0, expected ? length : 0) << "round " << round << ", token " << id;
      found += expected;
    }
  }
  EXPECT_GT(found, 1000);
}

}  // namespace
}  // namespace duet
