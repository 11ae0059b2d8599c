#include "chat/events.h"

namespace duet {

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContext:
      return "context";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

double prompt_tokens_per_second(const Finished& finished) {
  const int64_t computed = finished.prompt_tokens - finished.reused_tokens;
  return finished.prompt_seconds > 0 ? static_cast<double>(computed) / finished.prompt_seconds : 0.0;
}

double answer_tokens_per_second(const Finished& finished) {
  if (finished.answer_steps == 0 || finished.answer_seconds <= 0) return 0.0;
  return static_cast<double>(finished.answer_steps) / finished.answer_seconds;
}

}  // namespace duet
