#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chat/events.h"
#include "chat/sampling_texts.h"
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
  static constexpr int32_t kMaxChoices = 128;

  std::vector<TokenId> prompt;
  SamplingParams sampling;
  SamplingTexts sampling_texts;
  int64_t max_new_tokens = 0;  // 0 = up to the end of the context
  std::vector<TokenId> stop_ids;
  std::vector<std::string> stop_strings;
  int32_t choices = 1;    // answers to the prompt, 1 to kMaxChoices, each with events of its own
  int64_t logprobs = -1;  // as in Request
  std::function<std::shared_ptr<TokenGuide>(int32_t choice)> make_guide;  // may be empty, and may give nullptr
};

/// Runs one request to its end and tells `sink` everything that happens; the last event is the last answer's Finished,
/// or Failed. All answers run in one batch and the prompt is computed once; each is the answer that its choice gets
/// alone. What the request itself does wrong (ids, sizes, stop strings, arithmetic) is a Failed event, which ends all
/// answers; what `sink` throws ends the request and is thrown on. Once `cancel` is true every answer ends within one
/// step, with FinishReason::kCancelled.
void generate(Engine& engine, const Tokenizer& tokenizer, const GenerateRequest& request,
              const std::atomic<bool>& cancel, const EventSink& sink);

}  // namespace duet
