#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/ids.h"

namespace duet {

/// How the next token is chosen (docs/numerics.md, "Sampling"): order repetition penalty, temperature, top-k, top-p,
/// min-p, draw.
struct SamplingParams {
  float temperature = 0.0f;         // 0 = greedy, the largest logit, ties to the lowest id
  int64_t top_k = 0;                // 0 = all
  float top_p = 1.0f;               // (0, 1]
  float min_p = 0.0f;               // [0, 1]
  float repetition_penalty = 1.0f;  // > 0; over prompt and answer, as in transformers
  uint64_t seed = 0;
};

struct Request {
  std::vector<TokenId> prompt;  // at least one id
  SamplingParams sampling;
  int64_t max_new_tokens = 0;  // 0 = up to the end of the context
  std::vector<TokenId> stop_ids;
};

enum class FinishReason { kStop, kLength, kContext, kCancelled };

struct TokenChosen {
  RequestId request;
  TokenId id;
};
struct RequestFinished {
  RequestId request;
  FinishReason reason;
  TokenId stop_id;  // only with kStop: the id that ended the answer; it was not reported as TokenChosen
  int64_t prompt_tokens;
  int64_t reused_tokens;  // of the prompt, whose state was still there from an earlier request
  int64_t new_tokens;
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
