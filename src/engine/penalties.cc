#include "engine/penalties.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace duet {
namespace {

constexpr double kLargest = static_cast<double>(std::numeric_limits<float>::max());

size_t index_of(TokenId id) { return static_cast<size_t>(to_int(id)); }

void store(float& logit, double value) { logit = static_cast<float>(std::clamp(value, -kLargest, kLargest)); }

void add_bias(std::span<float> logits, const SamplingParams& params) {
  for (const auto& [id, bias] : params.logit_bias) {
    float& logit = logits[index_of(id)];
    store(logit, static_cast<double>(logit) + static_cast<double>(bias));
  }
}

void penalise_repetition(std::span<float> logits, std::span<const TokenId> history, float penalty) {
  const auto factor = static_cast<double>(penalty);
  std::vector<bool> seen(logits.size());
  for (const TokenId id : history) {
    if (seen[index_of(id)]) continue;
    seen[index_of(id)] = true;
    float& logit = logits[index_of(id)];
    const auto value = static_cast<double>(logit);
    store(logit, logit > 0 ? value / factor : value * factor);
  }
}

void penalise_use(std::span<float> logits, std::span<const TokenId> answer, const SamplingParams& params) {
  std::vector<int32_t> counts(logits.size());
  for (const TokenId id : answer) ++counts[index_of(id)];
  for (const TokenId id : answer) {
    int32_t& count = counts[index_of(id)];
    if (count == 0) continue;  // done at an earlier place of the answer
    float& logit = logits[index_of(id)];
    store(logit, static_cast<double>(logit) -
                     static_cast<double>(count) * static_cast<double>(params.frequency_penalty) -
                     static_cast<double>(params.presence_penalty));
    count = 0;
  }
}

void penalise_repeats(std::span<float> logits, std::span<const TokenId> history, const SamplingParams& params) {
  // base^exponent stays a float: llama.cpp clamps the exponent by log(FLT_MAX), 88.72.
  const auto base = static_cast<double>(params.dry_base);
  const double max_exponent = base > 1.000001 ? std::floor(88.7228391 / std::log(base)) : kLargest;
  for (const auto& [id, length] :
       dry_repeats(history, params.dry_breakers, params.dry_allowed_length, static_cast<int64_t>(logits.size()))) {
    const double exponent = std::min(static_cast<double>(length - params.dry_allowed_length), max_exponent);
    float& logit = logits[static_cast<size_t>(id)];
    store(logit, static_cast<double>(logit) - static_cast<double>(params.dry_multiplier) * std::pow(base, exponent));
  }
}

/// Tokens after the last breaker in `history`: a breaker is looked for from the end, and of those that begin at one
/// place the longest counts.
int64_t length_after_breaker(std::span<const TokenId> history, std::span<const std::vector<TokenId>> breakers,
                             const std::vector<bool>& single) {
  std::unordered_multimap<int32_t, const std::vector<TokenId>*> longer;  // by first token
  for (const auto& breaker : breakers) {
    if (breaker.size() > 1) longer.emplace(to_int(breaker[0]), &breaker);
  }
  const auto total = static_cast<int64_t>(history.size());
  for (int64_t begin = total - 1; begin >= 0; --begin) {
    const auto rest = history.subspan(static_cast<size_t>(begin));
    size_t longest = single[index_of(rest[0])] ? 1 : 0;
    const auto [first, last] = longer.equal_range(to_int(rest[0]));
    for (auto it = first; it != last; ++it) {
      const std::vector<TokenId>& breaker = *it->second;
      if (breaker.size() > longest && breaker.size() <= rest.size() &&
          std::equal(breaker.begin(), breaker.end(), rest.begin())) {
        longest = breaker.size();
      }
    }
    if (longest > 0) return static_cast<int64_t>(rest.size() - longest);
  }
  return total;
}

}  // namespace

std::unordered_map<int32_t, int64_t> dry_repeats(std::span<const TokenId> history,
                                                 std::span<const std::vector<TokenId>> breakers, int64_t allowed_length,
                                                 int64_t vocabulary) {
  std::unordered_map<int32_t, int64_t> repeats;
  const auto total = static_cast<int64_t>(history.size());
  if (total <= allowed_length) return repeats;
  std::vector<bool> single(static_cast<size_t>(vocabulary));
  for (const auto& breaker : breakers) {
    if (breaker.size() == 1) single[index_of(breaker[0])] = true;
  }
  const int64_t limit = length_after_breaker(history, breakers, single);
  if (limit < allowed_length) return repeats;

  // common[k]: how many of the last tokens also end k tokens before the end. The Z function of the reversed history
  // (Gusfield 1997, 1.4), in linear time.
  const auto last = [&](int64_t i) { return history[static_cast<size_t>(total - 1 - i)]; };
  std::vector<int64_t> common(static_cast<size_t>(total));
  for (int64_t k = 1, left = 0, right = 0; k < total; ++k) {
    int64_t length = k < right ? std::min(right - k, common[static_cast<size_t>(k - left)]) : 0;
    while (k + length < total && last(length) == last(k + length)) ++length;
    common[static_cast<size_t>(k)] = length;
    if (k + length > right) left = k, right = k + length;
    const int64_t repeat = std::min(length, limit);
    const TokenId next = last(k - 1);  // it came after those tokens, and would come again
    if (repeat < allowed_length || single[index_of(next)]) continue;
    int64_t& longest = repeats[to_int(next)];
    longest = std::max(longest, repeat);
  }
  return repeats;
}

bool has_penalties(const SamplingParams& params) {
  return !params.logit_bias.empty() || params.repetition_penalty != 1.0f || params.presence_penalty != 0.0f ||
         params.frequency_penalty != 0.0f || params.dry_multiplier != 0.0f;
}

void apply_penalties(std::span<float> logits, std::span<const TokenId> history, int64_t prompt_tokens,
                     const SamplingParams& params) {
  add_bias(logits, params);
  if (params.repetition_penalty != 1.0f) penalise_repetition(logits, history, params.repetition_penalty);
  if (params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f) {
    penalise_use(logits, history.subspan(static_cast<size_t>(prompt_tokens)), params);
  }
  if (params.dry_multiplier != 0.0f) penalise_repeats(logits, history, params);
}

}  // namespace duet
