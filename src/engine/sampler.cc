#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace duet {
namespace {

/// Philox4x32-10: a bijection of a 128-bit counter under a 64-bit key; constants from Salmon et al. 2011, table 2.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t seed) {
  std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Standard Gumbel noise of one token at one position: -log(-log(u)), u uniform in (0, 1) with 53 bits.
double gumbel(uint64_t seed, int64_t position, int32_t token) {
  const auto wide = static_cast<uint64_t>(position);
  const auto bits =
      philox({static_cast<uint32_t>(wide), static_cast<uint32_t>(wide >> 32), static_cast<uint32_t>(token), 0}, seed);
  const uint64_t mantissa = (uint64_t{bits[0]} << 21) ^ (uint64_t{bits[1]} >> 11);
  const double u = (static_cast<double>(mantissa & ((uint64_t{1} << 53) - 1)) + 0.5) * 0x1p-53;
  return -std::log(-std::log(u));
}

void check_range(const char* name, double value, bool legal, const char* range) {
  if (!legal) fail(ErrorCode::kBadValue, "sampling: {} is {}, legal: {}", name, value, range);
}

struct Candidate {
  int32_t id;
  double logit;
};

bool better(const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

}  // namespace

void check_sampling(const SamplingParams& p) {
  const auto in = [](double v, double low, double high) { return v >= low && v <= high; };  // false for NaN
  check_range("temperature", static_cast<double>(p.temperature), in(static_cast<double>(p.temperature), 0, 1e4),
              "0 to 10000");
  check_range("top_k", static_cast<double>(p.top_k), p.top_k >= 0, "0 (all) or more");
  check_range("top_p", static_cast<double>(p.top_p), p.top_p > 0 && p.top_p <= 1, "above 0, at most 1");
  check_range("min_p", static_cast<double>(p.min_p), in(static_cast<double>(p.min_p), 0, 1), "0 to 1");
  check_range("repetition_penalty", static_cast<double>(p.repetition_penalty),
              p.repetition_penalty > 0 && p.repetition_penalty <= 1e4f, "above 0, at most 10000");
}

TokenId argmax(std::span<const float> logits) {
  return TokenId{static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin())};
}

TokenId sample(std::span<float> logits, std::span<const TokenId> history, const SamplingParams& params,
               int64_t position) {
  if (params.repetition_penalty != 1.0f) {
    std::unordered_set<int32_t> seen;
    for (const TokenId id : history) {
      if (!seen.insert(to_int(id)).second) continue;
      float& logit = logits[static_cast<size_t>(to_int(id))];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
  }
  if (params.temperature == 0.0f) return argmax(logits);

  std::vector<Candidate> kept(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    kept[i] = {static_cast<int32_t>(i), static_cast<double>(logits[i]) / static_cast<double>(params.temperature)};
  }
  const auto best = std::min_element(kept.begin(), kept.end(), better)->logit;
  if (params.top_k > 0 && params.top_k < static_cast<int64_t>(kept.size())) {
    std::nth_element(kept.begin(), kept.begin() + params.top_k, kept.end(), better);
    kept.resize(static_cast<size_t>(params.top_k));
  }
  if (params.top_p < 1.0f) {
    // The smallest set of most likely tokens whose share reaches top_p; at least one.
    std::sort(kept.begin(), kept.end(), better);
    double total = 0, sum = 0;
    for (const Candidate& c : kept) total += std::exp(c.logit - best);
    size_t count = 0;
    while (count < kept.size() && sum < static_cast<double>(params.top_p) * total)
      sum += std::exp(kept[count++].logit - best);
    kept.resize(std::max<size_t>(1, count));
  }
  if (params.min_p > 0.0f) {
    const double least = best + std::log(static_cast<double>(params.min_p));
    std::erase_if(kept, [&](const Candidate& c) { return c.logit < least && c.logit != best; });
  }
  Candidate chosen{INT32_MAX, -INFINITY};
  for (const Candidate& c : kept) {
    const Candidate noisy{c.id, c.logit + gumbel(params.seed, position, c.id)};
    if (better(noisy, chosen)) chosen = noisy;
  }
  return TokenId{chosen.id};
}

}  // namespace duet
