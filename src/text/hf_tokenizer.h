#pragma once

#include <memory>

#include "formats/checkpoint.h"
#include "text/tokenizer.h"

namespace duet {

/// The tokenizer of a folder: tokenizer.json, and tokenizer_config.json for the names of special tokens and for added
/// tokens that only it lists; or vocab.json and merges.txt, read as the class that tokenizer_config.json names reads
/// them; or tokenizer.model (SentencePiece or ranks) or *.tiktoken (ranks). Throws not_found (none of these), bad_json,
/// too_large, missing_key, bad_type, bad_tokenizer (ids taken twice, merges of missing tokens, ...), bad_value,
/// unsupported_feature (a stage or an option that Duet does not know).
std::unique_ptr<Tokenizer> load_hf_tokenizer(const Checkpoint& checkpoint);

/// tokenizer.json as text, or parsed; `config` may be nullptr.
std::unique_ptr<Tokenizer> parse_hf_tokenizer(std::string_view tokenizer, const Json* config);
std::unique_ptr<Tokenizer> load_hf_tokenizer(const Json& tokenizer, const Json* config);

}  // namespace duet
