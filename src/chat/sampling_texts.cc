#include "chat/sampling_texts.h"

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer.h"

namespace duet {
std::vector<std::vector<TokenId>> breaker_sequences(const Tokenizer& tokenizer, std::string_view text) {
  if (text.empty() || text.size() > SamplingTexts::kMaxBreakerBytes) {
    fail(ErrorCode::kBadValue, "sampling: the dry-breaker '{}' has {} bytes, legal: 1 to {}", printable(text),
         text.size(), SamplingTexts::kMaxBreakerBytes);
  }
  std::vector<std::vector<TokenId>> rests(text.size());  // tokens of text[i..], once they are needed
  std::vector<std::vector<TokenId>> sequences;
  for (int64_t i = 0; i < tokenizer.vocabulary_size(); ++i) {
    const TokenId id{static_cast<int32_t>(i)};
    const std::string_view bytes = tokenizer.token_bytes(id);
    if (bytes.find(text) != std::string_view::npos) {
      sequences.push_back({id});
      continue;
    }
    for (size_t begin = 1; begin < text.size(); ++begin) {
      if (!bytes.ends_with(text.substr(0, begin))) continue;
      if (rests[begin].empty()) rests[begin] = tokenizer.encode(text.substr(begin), {});
      std::vector<TokenId> sequence = {id};
      sequence.insert(sequence.end(), rests[begin].begin(), rests[begin].end());
      sequences.push_back(std::move(sequence));
    }
  }
  return sequences;
}

SamplingParams resolve_texts(const Tokenizer& tokenizer, const SamplingTexts& texts, SamplingParams params) {
  if (params.dry_multiplier != 0.0f && params.dry_breakers.empty()) {
    for (const std::string& text : texts.dry_breakers) {
      auto sequences = breaker_sequences(tokenizer, text);
      std::move(sequences.begin(), sequences.end(), std::back_inserter(params.dry_breakers));
    }
  }
  for (const auto& [text, bias] : texts.logit_bias) {
    if (text.empty()) fail(ErrorCode::kBadValue, "sampling: a logit-bias is for an empty text");
    for (const TokenId id : tokenizer.encode(text, {.parse_special = true})) params.logit_bias.emplace_back(id, bias);
  }
  return params;
}

}  // namespace duet
