#pragma once

#include <cstdint>
#include <span>

#include "base/ids.h"
#include "engine/request.h"

namespace duet {

/// Throws bad_value for a parameter out of range (each is named with its legal range).
void check_sampling(const SamplingParams& params);

/// The next token: a function of its arguments alone (design: sampling is a function). Noise is counter-based, a
/// Philox4x32-10 draw (Salmon et al. 2011) per (seed, position, token); the token is the argmax of log-probability +
/// Gumbel noise over the kept set, which is a draw from its softmax; ties go to the lowest id. Order: repetition
/// penalty over `history`, then temperature, top-k, top-p, min-p.
///   logits   : [V], finite; changed in place
///   history  : prompt and answer so far
///   position : of the token being chosen
TokenId sample(std::span<float> logits, std::span<const TokenId> history, const SamplingParams& params,
               int64_t position);

/// The largest logit; ties go to the lowest id.   logits [V], V >= 1
TokenId argmax(std::span<const float> logits);

}  // namespace duet
