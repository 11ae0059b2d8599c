#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "engine/logit_scan.h"
#include "engine/request.h"

namespace duet {

/// Throws bad_value for a parameter out of range (each is named with its legal range). `vocabulary` bounds the ids of
/// logit_bias and dry_breakers; 0 = not known yet, they are not judged.
void check_sampling(const SamplingParams& params, int64_t vocabulary = 0);

/// The place of the token that is being chosen.
struct SamplingPlace {
  std::span<const TokenId> history = {};  // prompt and answer so far, ids below V
  int64_t prompt_tokens = 0;              // of history
  int64_t position = 0;
  int32_t choice = 0;
};

/// The next token: a function of its arguments alone (design: sampling is a function). The noise is counter-based, a
/// draw per (seed, choice, position, token, purpose); the token is the argmax of log-probability + Gumbel noise over
/// the kept set, which is a draw from its softmax; ties go to the lowest id. Order: logit bias, repetition penalty,
/// frequency and presence penalty, DRY, temperature (0: the largest logit now), top-k, top-p, min-p, typical, XTC,
/// draw. Each step keeps at least one token.
///   logits : [V], V >= 1, finite; changed in place
TokenId sample(std::span<float> logits, const SamplingParams& params, const SamplingPlace& place);
/// The same with the logits' scan, where there is one.
TokenId sample(std::span<float> logits, LogitScan scan, const SamplingParams& params, const SamplingPlace& place);

/// The largest logit; ties go to the lowest id.   logits [V], V >= 1
TokenId argmax(std::span<const float> logits);
/// Whether no value is an infinity or NaN.
bool all_finite(std::span<const float> values);

/// Log-probabilities of the model's own softmax, summed in float64: of `chosen`, and of the `alternatives` likeliest
/// tokens, best first, ties by id.   logits [V], finite, before sample() changes them
struct TokenLogprobs {
  float chosen = 0.0f;
  std::vector<TokenLogprob> alternatives;
};
TokenLogprobs token_logprobs(std::span<const float> logits, TokenId chosen, int64_t alternatives);
/// The same with the logits' scan, where there is one.
TokenLogprobs token_logprobs(std::span<const float> logits, const LogitScan& scan, TokenId chosen,
                             int64_t alternatives);

}  // namespace duet
