#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chat/events.h"
#include "chat/reasoning.h"
#include "chat/sampling_texts.h"
#include "chat/stop_strings.h"
#include "engine/request.h"
#include "text/detokenizer.h"

namespace duet {

class Engine;
class Tokenizer;

/// From the ids of an answer to its text: detokenizer, then the thought apart from the answer, then stop strings, which
/// end the answer and not the thought.
class AnswerStream {
 public:
  using Piece = ReasoningParser::Piece;

  /// Special tokens give no text. Throws bad_value for a bad stop string.
  AnswerStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
               const std::optional<ThoughtRules>& thought);

  /// The text that became certain with this token; often empty.
  Piece push(TokenId id);
  /// The rest of the text, at the end of the answer.
  Piece finish();
  /// The stop string that ended the answer, or nullptr.
  const std::string* stopped_by() const { return stops_.found(); }
  /// Tokens of the thought so far, with its tags.
  int64_t thought_tokens() const { return thought_tokens_; }

 private:
  Detokenizer detokenizer_;
  std::optional<ReasoningParser> thought_;  // std::nullopt: the model knows no thoughts
  StopStrings stops_;
  int64_t pushed_tokens_ = 0, thought_tokens_ = 0;
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
  std::optional<ThoughtRules> thought;                                    // std::nullopt: all of the text is answer
};

/// Runs one request to its end and tells `sink` everything that happens; the last event is the last answer's Finished,
/// or Failed. All answers run in one batch and the prompt is computed once; each is the answer that its choice gets
/// alone. What the request itself does wrong (ids, sizes, stop strings, arithmetic) is a Failed event, which ends all
/// answers; what `sink` throws ends the request and is thrown on. Once `cancel` is true every answer ends within one
/// step, with FinishReason::kCancelled.
void generate(Engine& engine, const Tokenizer& tokenizer, const GenerateRequest& request,
              const std::atomic<bool>& cancel, const EventSink& sink);

}  // namespace duet
