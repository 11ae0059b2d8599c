#include "text/sentencepiece_tokenizer.h"

#include "base/error.h"
#include "text/hf_stages.h"

namespace duet {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";

/// What the model asks for and Duet does not do would change ids without a word.
void refuse_options(const SentencePieceModel& model, std::string_view file) {
  const auto refuse = [&](bool unknown, std::string_view what) {
    if (unknown) fail(ErrorCode::kUnsupportedFeature, "{}: {}", file, what);
  };
  if (model.model_type != 2) {
    fail(ErrorCode::kUnsupportedFeature, "{}: model_type of trainer_spec is {}; known: 2 (BPE)", file,
         model.model_type);
  }
  refuse(model.treat_whitespace_as_suffix, "treat_whitespace_as_suffix of trainer_spec is true; known: false");
  if (model.has_charsmap) {
    fail(ErrorCode::kUnsupportedFeature, "{}: normalizer_spec has a table of characters ('{}'); known: identity", file,
         printable(model.normalizer_name));
  }
  refuse(model.remove_extra_whitespaces, "remove_extra_whitespaces of normalizer_spec is true; known: false");
  refuse(!model.escape_whitespaces, "escape_whitespaces of normalizer_spec is false; known: true");
}

}  // namespace

void add_pieces(std::span<const Piece> pieces, std::string_view file, TokenizerParts& parts, HfTokens& tokens) {
  size_t bytes = 0;
  for (const Piece& piece : pieces) bytes += piece.text.size();
  parts.vocabulary = std::make_unique<Vocabulary>();
  parts.vocabulary->reserve(pieces.size() + 64, bytes + 1024);
  parts.unprintable.assign(pieces.size(), false);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    const auto id = static_cast<int32_t>(i);
    const bool ordinary = piece.type == PieceType::kNormal || piece.type == PieceType::kByte;
    tokens.add_token(id, piece.text, file, ordinary);
    if (piece.type == PieceType::kUnused) {
      parts.unprintable[i] = true;
    } else if (!ordinary) {
      tokens.add_added({.id = TokenId{id}, .content = piece.text, .special = piece.type != PieceType::kUserDefined});
    }
  }
}

void add_scored_model(std::span<const Piece> pieces, int64_t unknown, bool prefix, TokenizerParts& parts) {
  CharacterBpe::Options options;
  options.byte_fallback = true;
  options.unknown = static_cast<int32_t>(unknown);
  options.fuse_unknown = true;
  auto model = std::make_unique<CharacterBpe>(*parts.vocabulary, options);
  std::vector<std::pair<int32_t, float>> scored;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].type == PieceType::kNormal) scored.emplace_back(static_cast<int32_t>(i), pieces[i].score);
  }
  model->add_scored(scored);
  parts.token_bytes = model->finish();
  parts.model = std::move(model);
  parts.spelling = TokenSpelling::kMetaspace;
  parts.strip_leading_space = prefix;
  if (prefix) parts.normalizer.push_back({.kind = NormalizerStep::Kind::kPrepend, .to = std::string(kSpaceMark)});
  parts.normalizer.push_back({.kind = NormalizerStep::Kind::kReplace, .from = " ", .to = std::string(kSpaceMark)});
}

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(std::string_view bytes, std::string_view file,
                                                        const Json* config) {
  const SentencePieceModel model = parse_sentencepiece_model(bytes, file);
  refuse_options(model, file);
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    // Its own library merges such a piece and takes it apart again.
    if (model.pieces[i].type == PieceType::kUnused) {
      fail(ErrorCode::kUnsupportedFeature, "{}: piece {} ('{}') is marked unused", file, i,
           printable(model.pieces[i].text));
    }
  }
  TokenizerParts parts;
  HfTokens tokens(parts, file);
  add_pieces(model.pieces, file, parts, tokens);
  const auto id_of = [&](int64_t id, std::string_view name) -> std::optional<TokenId> {
    if (id == -1) return std::nullopt;
    if (!parts.vocabulary->has(id)) {
      fail(ErrorCode::kBadTokenizer, "{}: {} of trainer_spec is {}, ids are 0 to {}", file, name, id,
           model.pieces.size() - 1);
    }
    return TokenId{static_cast<int32_t>(id)};
  };
  // The fields of an absent trainer_spec have their defaults, which may be no pieces of this model.
  const std::optional<TokenId> unknown = id_of(model.unk_id, "unk_id");
  parts.bos = id_of(model.bos_id, "bos_id");
  parts.eos = id_of(model.eos_id, "eos_id");
  if (config != nullptr) tokens.read_config_added(*config);
  add_scored_model(model.pieces, unknown ? to_int(*unknown) : -1, model.add_dummy_prefix, parts);
  if (config != nullptr) {
    // Not legacy: only the beginning of the whole text gets a space.
    if (model.add_dummy_prefix && !flag_member(*config, "legacy", true, kTokenizerConfigFile, "the file")) {
      parts.normalizer.clear();
      parts.metaspace = Metaspace{.replacement = std::string(kSpaceMark), .prepend = Metaspace::Prepend::kFirst};
    }
    tokens.read_config_names(*config);
    tokens.read_config_ends(*config);
  }
  return make_pipeline_tokenizer(std::move(parts));
}

}  // namespace duet
