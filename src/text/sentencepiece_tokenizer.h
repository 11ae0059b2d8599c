#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/json.h"
#include "text/hf_tokens.h"
#include "text/pipeline_tokenizer.h"
#include "text/sentencepiece_model.h"

namespace duet {

/// A SentencePiece BPE model (tokenizer.model). `config` (tokenizer_config.json, may be nullptr) adds tokens, names
/// them and decides on BOS and EOS. Throws bad_tokenizer, unsupported_feature, too_large.
std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(std::string_view bytes, std::string_view file,
                                                        const Json* config);

/// Puts pieces into `parts`, their ids being their places: ordinary ones are normal and byte pieces; unknown, control
/// and user-defined ones are added tokens (the last without the flag special).
void add_pieces(std::span<const Piece> pieces, std::string_view file, TokenizerParts& parts, HfTokens& tokens);
/// The model over these pieces, and how its text is spelled: spaces become U+2581, `prefix` puts one in front of each
/// stretch of text between added tokens. Precondition: the vocabulary is complete.
void add_scored_model(std::span<const Piece> pieces, int64_t unknown, bool prefix, TokenizerParts& parts);

}  // namespace duet
