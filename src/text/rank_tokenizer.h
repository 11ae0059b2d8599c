#pragma once

#include <memory>
#include <string_view>

#include "base/json.h"
#include "text/tokenizer.h"

namespace duet {

/// A file of ranks as tiktoken reads it: lines of a token's bytes in base64, a space and its rank, which is its id.
/// Of two neighbours whose joined bytes are a token those of the lowest rank merge first; a piece that is a token is
/// that token. The file says neither how text is split nor what tokens are added: the first is known for the families
/// that publish such files, by the number of ranks, or is pretokenize_regex of `config`; the second stands in `config`
/// (tokenizer_config.json, may be nullptr). `file` is the file's name for messages.
/// Throws bad_tokenizer (no base64, ranks doubled or missing, ...), unsupported_feature, too_large, missing_key.
std::unique_ptr<Tokenizer> load_rank_tokenizer(std::string_view text, std::string_view file, const Json* config);

}  // namespace duet
