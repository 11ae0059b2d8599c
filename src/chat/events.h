#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "engine/request.h"

namespace duet {

/// A piece of the answer; always whole UTF-8 characters, never empty.
struct TextDelta {
  std::string text;
  int32_t choice = 0;  // which of several answers, here and below
};
/// A piece of the model's thinking, where it is told apart from the answer.
struct ReasoningDelta {
  std::string text;
  int32_t choice = 0;
};
/// Log-probabilities of a token, where they were asked for; comes before its text.
struct Logprobs {
  TokenChosen token;
  int32_t choice = 0;
};
/// An answer is complete. The last event of that answer.
struct Finished {
  int32_t choice = 0;
  FinishReason reason = FinishReason::kStop;
  std::string stop_string;   // the one that ended the answer, if one did (reason is kStop then)
  std::vector<TokenId> ids;  // of the answer, without the end token
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;    // of the prompt, not computed again
  int64_t new_tokens = 0;       // ids.size()
  int64_t thought_tokens = 0;   // of those, the model's thinking with its tags
  int64_t drafted_tokens = 0;   // by speculation
  int64_t accepted_tokens = 0;  // of those, the ones that the model chose too
  double prompt_seconds = 0.0;  // until the first token was chosen
  double answer_seconds = 0.0;  // from then to the end
  int64_t answer_steps = 0;     // steps of one token in answer_seconds
};
/// The request cannot be answered: its last event.
struct Failed {
  Error error;
};
/// The conversation did not fit the context and its oldest turns were left out, as the request allowed. Comes first.
struct TurnsDropped {
  int64_t messages = 0;
};
using ChatEvent = std::variant<TurnsDropped, PromptProgress, TextDelta, ReasoningDelta, Logprobs, Finished, Failed>;
using EventSink = std::function<void(const ChatEvent&)>;

/// "stop", "length", "context" or "cancelled".
std::string_view finish_reason_name(FinishReason reason);
/// Prompt tokens computed per second, and answer tokens per second after the first; 0 where nothing was measured.
double prompt_tokens_per_second(const Finished& finished);
double answer_tokens_per_second(const Finished& finished);

}  // namespace duet
