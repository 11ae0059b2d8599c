#include "chat/reasoning.h"

#include <algorithm>

namespace duet {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

/// How many bytes at the end of `text` may still become a tail of line ends and the closing tag.
size_t held_bytes(std::string_view text) {
  size_t held = 0;
  for (size_t n = std::min(kThoughtTags.close.size() - 1, text.size()); n > 0; --n) {
    if (text.ends_with(kThoughtTags.close.substr(0, n))) {
      held = n;
      break;
    }
  }
  while (held < text.size() && text[text.size() - held - 1] == '\n') ++held;
  return held;
}

void skip_line_ends(std::string& text) { text.erase(0, text.find_first_not_of('\n')); }

}  // namespace

ReasoningParser::Piece ReasoningParser::push(std::string_view text) {
  Piece piece;
  pending_ += text;
  while (advance(piece)) {
  }
  return piece;
}

/// One stage's share of what is pending; returns whether the next stage has to look at the rest.
bool ReasoningParser::advance(Piece& piece) {
  switch (stage_) {
    case Stage::kStart: {
      const size_t begin = std::min(pending_.find_first_not_of(kSpace), pending_.size());
      const std::string_view rest = std::string_view(pending_).substr(begin);
      if (rest.starts_with(kThoughtTags.open)) {
        pending_.erase(0, begin + kThoughtTags.open.size());
        stage_ = Stage::kThoughtHead;
        return true;
      }
      if (kThoughtTags.open.starts_with(rest)) return false;
      stage_ = Stage::kAnswer;
      return true;
    }
    case Stage::kThoughtHead:
      skip_line_ends(pending_);
      if (pending_.empty()) return false;
      stage_ = Stage::kThought;
      return true;
    case Stage::kThought: {
      const size_t close = pending_.find(kThoughtTags.close);
      if (close == std::string::npos) {
        const size_t certain = pending_.size() - held_bytes(pending_);
        piece.reasoning += pending_.substr(0, certain);
        pending_.erase(0, certain);
        return false;
      }
      std::string_view thought = std::string_view(pending_).substr(0, close);
      thought = thought.substr(0, thought.find_last_not_of('\n') + 1);
      piece.reasoning += thought;
      pending_.erase(0, close + kThoughtTags.close.size());
      stage_ = Stage::kAnswerHead;
      thought_ = true;
      return true;
    }
    case Stage::kAnswerHead:
      skip_line_ends(pending_);
      if (pending_.empty()) return false;
      stage_ = Stage::kAnswer;
      return true;
    case Stage::kAnswer:
      piece.answer += pending_;
      pending_.clear();
      return false;
  }
  return false;
}

ReasoningParser::Piece ReasoningParser::finish() {
  Piece piece;
  if (stage_ == Stage::kStart) piece.answer = std::move(pending_);  // white space, or the beginning of a tag
  if (stage_ == Stage::kThought) piece.reasoning = pending_.substr(0, pending_.find_last_not_of('\n') + 1);
  pending_.clear();
  return piece;
}

}  // namespace duet
