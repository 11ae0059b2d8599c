#pragma once

#include <memory>
#include <vector>

#include "chat/reasoning.h"
#include "engine/request.h"
#include "text/detokenizer.h"

namespace duet {

class Tokenizer;

/// Closes a thought that has reached its limit: from then on the tokens of the closing tag come next, in the form in
/// which the templates write it, and the answer begins.
class ThoughtBudget final : public TokenGuide {
 public:
  /// `max_tokens` >= 0: of the thought, without its tags.
  ThoughtBudget(const Tokenizer& tokenizer, bool in_thought, int64_t max_tokens);

  std::optional<TokenId> forced() override;
  void accept(TokenId id) override;

 private:
  void close();

  const Tokenizer& tokenizer_;
  Detokenizer detokenizer_;
  ReasoningParser parser_;
  int64_t left_;
  bool empty_thought_ = true;
  bool after_line_end_;
  std::vector<TokenId> closing_;  // last first
};

}  // namespace duet
