#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace duet {

/// What the loaders fill in: a tokenizer as stages in a row. Added tokens that are looked for in the raw text,
/// normalization of what lies between, added tokens of the normalized text, pieces, merges; then BOS and EOS.
struct TokenizerParts {
  std::unique_ptr<Vocabulary> vocabulary;  // spellings of ordinary tokens, contents of added ones
  bool nfc = false;
  std::vector<PreTokenizer::Step> pre_tokenizer;
  std::unique_ptr<ByteBpe> model;
  std::vector<AddedToken> added;
  std::vector<bool> unprintable;     // by id: a row without a token; may be shorter than the vocabulary
  std::vector<TokenId> front, back;  // put around the ids by add_special
  std::optional<TokenId> bos, eos;
  std::vector<std::pair<std::string, std::string>> special_token_strings;
};

/// Added contents must not be empty; every id must be in the vocabulary.
std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts);

}  // namespace duet
