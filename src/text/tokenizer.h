#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace duet {

class Checkpoint;

/// Bytes [begin, end) of a text.
struct TextSpan {
  size_t begin = 0, end = 0;
  bool operator==(const TextSpan&) const = default;
};

struct EncodeOptions {
  /// true: every added token of the vocabulary is recognised in the text; false: the text is data and no added token
  /// is.
  bool parse_special = false;
  /// BOS and EOS as the model's files ask for (post-processor, or add_bos_token).
  bool add_special = false;
  /// With parse_special: places, ascending and apart, where the text is data all the same: an added token that shares a
  /// byte with one of them is not recognised.
  std::span<const TextSpan> plain_spans = {};
};

/// An added token recognised in a text.
struct AddedTokenMatch {
  TokenId id;
  TextSpan span;
};

/// Text to ids and back, exactly as the model's makers meant it. Immutable and thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Invalid UTF-8 is read as U+FFFD for each maximal invalid part. Linear time.
  virtual std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const = 0;
  /// The added tokens that encode() with parse_special recognises in `text`, in order.
  virtual std::vector<AddedTokenMatch> find_added(std::string_view text) const = 0;
  /// The bytes that this token stands for (the content, for an added token). Throws bad_value for an id out of range.
  virtual std::string_view token_bytes(TokenId id) const = 0;
  /// Whether skip_special drops it when decoding.
  virtual bool is_special(TokenId id) const = 0;
  /// Whether a space that a whole decoded text begins with is dropped (SentencePiece puts it in).
  virtual bool strips_leading_space() const { return false; }
  /// Ids are below this.
  virtual int64_t vocabulary_size() const = 0;
  /// The id of an added or ordinary token by its exact content.
  virtual std::optional<TokenId> find(std::string_view content) const = 0;
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  /// Named special tokens for templates: {"bos_token", "<s>"}, ... those that the files define.
  virtual const std::vector<std::pair<std::string, std::string>>& special_token_strings() const = 0;

  /// Joins the tokens' bytes first and replaces invalid parts last. Throws bad_value for an id out of range.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special) const = 0;
};

/// From a folder with tokenizer.json, vocab.json and merges.txt, tokenizer.model (SentencePiece or ranks) or *.tiktoken
/// (and tokenizer_config.json), or from the metadata of a GGUF file.
/// Throws not_found (the model has none), bad_tokenizer, unsupported_feature, bad_json, ...
std::unique_ptr<Tokenizer> load_tokenizer(const Checkpoint& checkpoint);

}  // namespace duet
