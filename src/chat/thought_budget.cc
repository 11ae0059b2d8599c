#include "chat/thought_budget.h"

#include <algorithm>
#include <string>

#include "text/tokenizer.h"

namespace duet {

ThoughtBudget::ThoughtBudget(const Tokenizer& tokenizer, bool in_thought, int64_t max_tokens)
    : tokenizer_(tokenizer),
      detokenizer_(tokenizer, /*skip_special=*/true),
      parser_(in_thought),
      left_(max_tokens),
      after_line_end_(in_thought) {}

std::optional<TokenId> ThoughtBudget::forced() {
  if (closing_.empty() && parser_.in_thought() && left_ <= 0) close();
  if (closing_.empty()) return std::nullopt;
  return closing_.back();
}

void ThoughtBudget::accept(TokenId id) {
  if (!closing_.empty()) closing_.pop_back();
  if (parser_.answering()) return;
  const bool thinking = parser_.in_thought();
  const std::string text = detokenizer_.push(id);
  parser_.push(text);
  if (!text.empty()) after_line_end_ = text.ends_with('\n');
  if (thinking) {
    --left_;
    empty_thought_ = false;
  }
}

/// "<think>\n\n</think>\n\n" is the templates' empty thought, "...\n</think>\n\n" the end of one with text.
void ThoughtBudget::close() {
  const int lines = (empty_thought_ ? 2 : 1) - (after_line_end_ ? 1 : 0);
  const std::string text = std::string(static_cast<size_t>(lines), '\n') + std::string(kThoughtTags.close) + "\n\n";
  closing_ = tokenizer_.encode(text, {.parse_special = true, .add_special = false});
  std::reverse(closing_.begin(), closing_.end());
}

}  // namespace duet
