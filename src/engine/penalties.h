#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "engine/request.h"

namespace duet {

/// The steps of sampling that move single logits, in this order (docs/numerics.md has the definitions): logit bias,
/// repetition penalty, frequency and presence penalty, DRY. Afterwards every logit is finite again: what would overflow
/// stays at the largest float.
///   logits        : [V], finite; changed in place
///   history       : prompt and answer so far
///   prompt_tokens : of `history`
void apply_penalties(std::span<float> logits, std::span<const TokenId> history, int64_t prompt_tokens,
                     const SamplingParams& params);

/// Whether apply_penalties() does anything.
bool has_penalties(const SamplingParams& params);

/// How long a repetition each token would prolong: for a token x the largest number of tokens before an earlier x that
/// are also the last tokens of `history`, in order, not reaching back across the last breaker; only where this is at
/// least `allowed_length`. A token that is a breaker by itself is not in it.  `vocabulary` bounds the ids.
std::unordered_map<int32_t, int64_t> dry_repeats(std::span<const TokenId> history,
                                                 std::span<const std::vector<TokenId>> breakers, int64_t allowed_length,
                                                 int64_t vocabulary);

}  // namespace duet
