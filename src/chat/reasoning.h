#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace duet {

/// What opens and closes a thought in the text of every Qwen from QwQ and Qwen3 to 3.8 (their chat templates; Llama has
/// none).
struct ThoughtTags {
  std::string_view open, close;
};
inline constexpr ThoughtTags kThoughtTags{"<think>", "</think>"};

/// How the thought of an answer is treated.
struct ThoughtRules {
  bool in_thought = false;            // the prompt has opened it already
  std::optional<int64_t> max_tokens;  // then it is closed
};

/// Tells a model's thought from its answer while the text streams. A thought is what stands between the tags at the
/// beginning of the answer (after white space); line ends around the tags belong to neither side, as the templates have
/// it (`split('</think>')[-1].lstrip('\n')`, Qwen3). Tags anywhere else are text. The result does not depend on how the
/// text is cut into pieces.
class ReasoningParser {
 public:
  struct Piece {
    std::string reasoning, answer;
  };

  /// `in_thought`: the prompt has opened the thought already.
  explicit ReasoningParser(bool in_thought = false) : stage_(in_thought ? Stage::kThoughtHead : Stage::kStart) {}

  /// What became certain with this text.
  Piece push(std::string_view text);
  /// The rest, at the end of the text.
  Piece finish();

  /// Whether the text so far ends inside a thought.
  bool in_thought() const { return stage_ == Stage::kThoughtHead || stage_ == Stage::kThought; }
  /// Whether there is a thought in the text so far, ended or not.
  bool thought() const { return in_thought() || thought_; }
  /// Whether it can no longer be in a thought.
  bool answering() const { return stage_ == Stage::kAnswerHead || stage_ == Stage::kAnswer; }

 private:
  enum class Stage {
    kStart,        // white space, or part of the opening tag
    kThoughtHead,  // line ends behind the opening tag
    kThought,
    kAnswerHead,  // line ends behind the closing tag
    kAnswer,
  };
  bool advance(Piece& piece);

  Stage stage_;
  bool thought_ = false;  // the answer comes after a thought
  std::string pending_;
};

}  // namespace duet
