#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace duet {

class Tokenizer;

/// What people say in text that the sampler needs in tokens.
struct SamplingTexts {
  static constexpr size_t kMaxBreakerBytes = 40;  // llama.cpp's limit
  /// No repetition that DRY sees reaches across one of these; llama.cpp's choice. 1 to 40 bytes each.
  std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};
  /// Every token that the text is made of gets the number added to its logit.
  std::vector<std::pair<std::string, float>> logit_bias;
};

/// Token sequences that hold `text` or end in its beginning and go on with the rest, as llama.cpp finds them: each
/// token whose bytes contain the text by itself; each token that ends in a beginning of the text, followed by the
/// tokens of its rest. Throws bad_value for a text that is empty or above 40 bytes.
std::vector<std::vector<TokenId>> breaker_sequences(const Tokenizer& tokenizer, std::string_view text);

/// `params` with the texts added: the breakers only where DRY is at work and `params` names none itself. Throws
/// bad_value for a text that is empty or too long.
SamplingParams resolve_texts(const Tokenizer& tokenizer, const SamplingTexts& texts, SamplingParams params);

}  // namespace duet
