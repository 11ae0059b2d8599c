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
};
/// A piece of the model's thinking, where it is told apart from the answer.
struct ReasoningDelta {
  std::string text;
};
/// The answer is complete. The last event of a request, unless that is Failed.
struct Finished {
  FinishReason reason = FinishReason::kStop;
  std::string stop_string;   // the one that ended the answer, if one did (reason is kStop then)
  std::vector<TokenId> ids;  // of the answer, without the end token
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;    // of the prompt, not computed again
  int64_t new_tokens = 0;       // ids.size()
  double prompt_seconds = 0.0;  // until the first token was chosen
  double answer_seconds = 0.0;  // from then to the end
  int64_t answer_steps = 0;     // steps of one token in answer_seconds
};
/// The request cannot be answered. The last event of a request.
struct Failed {
  Error error;
};
using ChatEvent = std::variant<PromptProgress, TextDelta, ReasoningDelta, Finished, Failed>;
using EventSink = std::function<void(const ChatEvent&)>;

/// "stop", "length", "context" or "cancelled".
std::string_view finish_reason_name(FinishReason reason);
/// Prompt tokens computed per second, and answer tokens per second after the first; 0 where nothing was measured.
double prompt_tokens_per_second(const Finished& finished);
double answer_tokens_per_second(const Finished& finished);

}  // namespace duet
