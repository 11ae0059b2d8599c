#include "engine/choice.h"

#include <vector>

#include "engine/sampler.h"

namespace duet {

Error non_finite(std::string_view what, int64_t position) {
  return Error(ErrorCode::kNonFinite, fmt::format("non-finite value in the {} of position {}", what, position),
               "the weights hold NaN or Inf, or the activations overflowed");
}

Choice begin_choice(const Running& r, int64_t vocabulary) {
  Choice choice;
  try {
    if (r.request.guide) choice.forced = r.request.guide->forced();
    if (choice.forced && (to_int(*choice.forced) < 0 || to_int(*choice.forced) >= vocabulary)) {
      fail(ErrorCode::kBadValue, "the guide forces token id {}, legal: 0 to {}", to_int(*choice.forced),
           vocabulary - 1);
    }
  } catch (const Error& error) {
    choice.result = error;
  }
  return choice;
}

void choose(const Running& r, std::span<float> logits, const LogitScan& scan, Choice& choice) {
  if (choice.error() != nullptr) return;
  const Request& request = r.request;
  const auto position = static_cast<int64_t>(r.tokens.size());
  try {
    if (!scan.finite()) throw non_finite("logits", position - 1);
    std::vector<float> raw;
    if (request.logprobs >= 0) raw.assign(logits.begin(), logits.end());
    TokenChosen chosen{r.id, TokenId{-1}};
    if (choice.forced) {
      chosen.id = *choice.forced;
    } else {
      chosen.id = sample(
          logits, scan, request.sampling,
          {.history = r.tokens, .prompt_tokens = r.prompt_tokens(), .position = position, .choice = request.choice});
    }
    if (request.logprobs >= 0) {
      TokenLogprobs logprobs = token_logprobs(raw, scan, chosen.id, request.logprobs);
      chosen.logprob = logprobs.chosen;
      chosen.alternatives = std::move(logprobs.alternatives);
    }
    choice.result = std::move(chosen);
  } catch (const Error& error) {
    choice.result = error;
  } catch (const std::bad_alloc&) {
    choice.result = Error(ErrorCode::kOutOfMemory, "memory for the logits of a request");
  }
}

}  // namespace duet
