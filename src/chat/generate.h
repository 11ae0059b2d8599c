#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "chat/events.h"
#include "chat/stop_strings.h"
#include "engine/request.h"
#include "text/detokenizer.h"

namespace duet {

class Engine;
class Tokenizer;

/// From the ids of an answer to its text: detokenizer, then stop strings.
class AnswerStream {
 public:
  /// Special tokens give no text. Throws bad_value for a bad stop string.
  AnswerStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings)
      : detokenizer_(tokenizer, /*skip_special=*/true), stops_(std::move(stop_strings)) {}

  /// The text that became certain with this token; often empty.
  std::string push(TokenId id) { return stops_.push(detokenizer_.push(id)); }
  /// The rest of the text, at the end of the answer.
  std::string finish();
  /// The stop string that ended the answer, or nullptr.
  const std::string* stopped_by() const { return stops_.found(); }

 private:
  Detokenizer detokenizer_;
  StopStrings stops_;
};

struct GenerateRequest {
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  int64_t max_new_tokens = 0;  // 0 = up to the end of the context
  std::vector<TokenId> stop_ids;
  std::vector<std::string> stop_strings;
  int32_t choices = 1;    // answers to the prompt, each with events of its own
  int64_t logprobs = -1;  // as in Request
};

/// Runs one request to its end and tells `sink` everything that happens; the last event is the last answer's Finished,
/// or Failed. What the request itself does wrong (ids, sizes, stop strings, arithmetic) is a Failed event; what `sink`
/// throws ends the request and is thrown on. Once `cancel` is true the answer ends within one step, with
/// FinishReason::kCancelled.
void generate(Engine& engine, const Tokenizer& tokenizer, const GenerateRequest& request,
              const std::atomic<bool>& cancel, const EventSink& sink);

}  // namespace duet
