#include "text/detokenizer.h"

#include "base/utf8.h"

namespace duet {

std::string Detokenizer::push(TokenId id) {
  const std::string_view bytes = tokenizer_->token_bytes(id);
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  pending_ += bytes;
  if (!started_ && !pending_.empty()) {
    started_ = true;
    if (tokenizer_->strips_leading_space() && pending_.front() == ' ') pending_.erase(0, 1);
  }
  std::string out;
  size_t read = 0;
  while (read < pending_.size()) {
    const Utf8Step step = decode_utf8(std::string_view(pending_).substr(read));
    if (step.incomplete) break;
    append_utf8(out, step.code);
    read += static_cast<size_t>(step.length);
  }
  pending_.erase(0, read);
  return out;
}

std::string Detokenizer::finish() {
  std::string out = replace_invalid_utf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace duet
