#pragma once

#include <string>

#include "text/tokenizer.h"

namespace duet {

/// Streams ids to text: bytes of a character that is not complete yet are held back until the next token.
class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special) : tokenizer_(&tokenizer), skip_special_(skip_special) {}
  /// The text that became certain with this token; always valid UTF-8. Throws bad_value for an id out of range.
  std::string push(TokenId id);
  /// The rest; an incomplete character becomes U+FFFD.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;
  bool started_ = false;  // something was handed out, or dropped
};

}  // namespace duet
