#pragma once

#include <memory>

#include "formats/gguf.h"
#include "text/tokenizer.h"

namespace duet {

/// The tokenizer in a GGUF file's metadata (tokenizer.ggml.*). Throws not_found (model "none" or no such keys),
/// missing_key, bad_type, bad_tokenizer, unsupported_feature (a model or pre-tokenizer that Duet does not know).
std::unique_ptr<Tokenizer> load_gguf_tokenizer(const GgufMetadata& metadata);

}  // namespace duet
