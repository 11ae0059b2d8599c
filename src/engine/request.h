#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/ids.h"

namespace duet {

/// How the next token is chosen: docs/numerics.md, "Sampling", has the order of the steps and their definitions.
/// engine/sampling_fields.h names each for people.
struct SamplingParams {
  float temperature = 0.0f;         // 0 = greedy, the largest logit, ties to the lowest id
  int64_t top_k = 0;                // 0 = all
  float top_p = 1.0f;               // (0, 1]
  float min_p = 0.0f;               // [0, 1]
  float typical_p = 1.0f;           // (0, 1]
  float xtc_probability = 0.0f;     // [0, 1]
  float xtc_threshold = 0.1f;       // [0, 1]; above 0.5 XTC does nothing
  float repetition_penalty = 1.0f;  // > 0; over prompt and answer, as in transformers
  float presence_penalty = 0.0f;    // over the answer, as OpenAI defines it
  float frequency_penalty = 0.0f;
  float dry_multiplier = 0.0f;  // 0 = no DRY
  float dry_base = 1.75f;
  int64_t dry_allowed_length = 2;
  std::vector<std::vector<TokenId>> dry_breakers;     // token sequences that no repetition reaches across
  std::vector<std::pair<TokenId, float>> logit_bias;  // added to the logits before everything else
  uint64_t seed = 0;
};

/// Decides along with the sampler. Belongs to one answer; called by the engine's thread alone, in the order of the
/// answer's tokens.
class TokenGuide {
 public:
  virtual ~TokenGuide() = default;
  /// The token that comes next whatever the logits say; std::nullopt: the sampler chooses.
  virtual std::optional<TokenId> forced() = 0;
  /// The token that was chosen or forced, the end token included.
  virtual void accept(TokenId id) = 0;
};

struct Request {
  std::vector<TokenId> prompt;  // at least one id
  SamplingParams sampling;
  int32_t choice = 0;          // which of several answers to one prompt: another choice has other noise
  int64_t max_new_tokens = 0;  // 0 = up to the end of the context
  std::vector<TokenId> stop_ids;
  int64_t logprobs = -1;  // -1 = none; else log-probabilities of the chosen token and of this many alternatives
  std::shared_ptr<TokenGuide> guide;
};

enum class FinishReason { kStop, kLength, kContext, kCancelled };

struct TokenLogprob {
  TokenId id;
  float logprob;  // natural logarithm, of the model's own softmax: before penalties and temperature
};

struct TokenChosen {
  RequestId request;
  TokenId id;
  float logprob = 0.0f;                    // of `id`, where the request asked for it
  std::vector<TokenLogprob> alternatives;  // the likeliest tokens, best first; `id` may be among them
};
struct RequestFinished {
  RequestId request;
  FinishReason reason;
  TokenId stop_id;  // only with kStop: the id that ended the answer; it was not reported as TokenChosen
  int64_t prompt_tokens;
  int64_t reused_tokens;  // of the prompt, whose state was still there from an earlier request
  int64_t new_tokens;
  int64_t drafted_tokens = 0;   // by speculation
  int64_t accepted_tokens = 0;  // of those: the model chose them too
};
struct RequestFailed {
  RequestId request;
  Error error;
};
struct PromptProgress {
  RequestId request;
  int64_t done_tokens;
  int64_t total_tokens;
};
using EngineEvent = std::variant<TokenChosen, RequestFinished, RequestFailed, PromptProgress>;

}  // namespace duet
