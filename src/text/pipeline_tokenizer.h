#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/text_normalizer.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace duet {

/// SentencePiece's way with spaces, done to text between added tokens after normalization.
struct Metaspace {
  enum class Prepend { kNever, kAlways, kFirst };
  std::string replacement;            // what a space becomes
  Prepend prepend = Prepend::kNever;  // before a text that does not begin with it; kFirst: the text's beginning only
  bool split = false;                 // pieces begin at each replacement
};

/// What a token stands for in a text.
enum class TokenSpelling {
  kBytes,      // GPT-2's byte alphabet; what is not in it stands for itself
  kMetaspace,  // U+2581 is a space, <0x00> to <0xFF> are bytes
};

/// What the loaders fill in: a tokenizer as stages in a row. Added tokens that are looked for in the raw text,
/// normalization of what lies between, added tokens of the normalized text, pieces, merges; then BOS and EOS.
struct TokenizerParts {
  std::unique_ptr<Vocabulary> vocabulary;  // spellings of ordinary tokens, contents of added ones
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizer::Step> pre_tokenizer;
  std::optional<Metaspace> metaspace;
  std::unique_ptr<BpeModel> model;  // finished
  TokenBytes token_bytes;           // what finish() returned
  TokenSpelling spelling = TokenSpelling::kBytes;
  bool strip_leading_space = false;  // of a decoded text
  std::vector<AddedToken> added;
  std::vector<bool> unprintable;     // by id: a row without a token; may be shorter than the vocabulary
  std::vector<TokenId> front, back;  // put around the ids by add_special
  std::optional<TokenId> bos, eos;
  std::vector<std::pair<std::string, std::string>> special_token_strings;
};

/// Added contents must not be empty; every id must be in the vocabulary.
std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts);

}  // namespace duet
