#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "base/error.h"
#include "text/pipeline_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"

namespace duet {
namespace {

using Kind = PreTokenizer::Kind;

/// What a name in tokenizer.ggml.pre stands for. The format says nothing of NFC or of BOS where its key is absent: the
/// families' own files do.
struct Family {
  std::string_view name;
  bool digits_first;
  SplitPattern pattern;
  bool nfc;
  bool ignore_merges;
  bool adds_bos;
};
constexpr std::array<Family, 8> kFamilies = {{
    {"llama-bpe", false, SplitPattern::kLlama3, false, true, true},
    {"llama3", false, SplitPattern::kLlama3, false, true, true},
    {"llama-v3", false, SplitPattern::kLlama3, false, true, true},
    {"llama4", false, SplitPattern::kLlama4, false, true, true},
    {"qwen2", false, SplitPattern::kQwen2, true, false, false},
    {"qwen35", false, SplitPattern::kQwen35, true, false, false},
    {"smollm", true, SplitPattern::kGpt2, false, false, false},
    {"gpt-2", false, SplitPattern::kGpt2, false, false, false},
}};

class GgufLoader {
 public:
  explicit GgufLoader(const GgufMetadata& metadata) : metadata_(metadata), file_(metadata.file_name()) {}

  std::unique_ptr<Tokenizer> load() {
    const std::optional<std::string> model = metadata_.string("tokenizer.ggml.model");
    if (!model && metadata_.find("tokenizer.ggml.tokens") == nullptr) {
      fail(ErrorCode::kNotFound, "{}: the file has no tokenizer (no key tokenizer.ggml.model)", file_);
    }
    const std::string name = metadata_.require_string("tokenizer.ggml.model");
    if (name == "none" || name == "no_vocab") {
      fail(ErrorCode::kNotFound, "{}: the file has no tokenizer (tokenizer.ggml.model is '{}')", file_, name);
    }
    if (name == "llama") return load_sentencepiece();
    if (name != "gpt2") {
      fail(ErrorCode::kUnsupportedFeature, "{}: tokenizer.ggml.model is '{}'; known: gpt2, llama", file_,
           printable(name));
    }
    const Family family = read_family();
    read_tokens();
    refuse("tokenizer.ggml.add_space_prefix");
    refuse("tokenizer.ggml.add_sep_token");
    read_merges(family);
    if (family.nfc) parts_.normalizer.push_back({.kind = NormalizerStep::Kind::kNfc});
    if (family.digits_first) parts_.pre_tokenizer.push_back({.kind = Kind::kDigits});
    parts_.pre_tokenizer.push_back({.kind = Kind::kPattern, .pattern = family.pattern});
    read_special(family.adds_bos);
    return make_pipeline_tokenizer(std::move(parts_));
  }

 private:
  Family read_family() const {
    const std::optional<std::string> pre = metadata_.string("tokenizer.ggml.pre");
    std::string known;
    for (const Family& family : kFamilies) {
      if (pre && family.name == *pre) return family;
      known += (known.empty() ? "" : ", ") + std::string(family.name);
    }
    fail(ErrorCode::kUnsupportedFeature,
         "{}: tokenizer.ggml.pre is {}, which does not say how text is split; known: {}", file_,
         pre ? "'" + printable(*pre) + "'" : "absent", known);
  }

  /// tokenizer.ggml.model "llama": pieces with scores.
  std::unique_ptr<Tokenizer> load_sentencepiece() {
    const std::optional<std::string> pre = metadata_.string("tokenizer.ggml.pre");
    if (pre && *pre != "default") {
      fail(ErrorCode::kUnsupportedFeature, "{}: tokenizer.ggml.pre is '{}'; known for the model 'llama': default",
           file_, printable(*pre));
    }
    const TextList& texts = metadata_.require_strings("tokenizer.ggml.tokens");
    check_size(texts);
    const std::vector<PieceType> types = read_types(texts.size());
    const std::optional<std::vector<double>> scores = metadata_.numbers("tokenizer.ggml.scores");
    if (!scores) fail(ErrorCode::kMissingKey, "{}: no key 'tokenizer.ggml.scores'", file_);
    if (scores->size() != texts.size()) {
      fail(ErrorCode::kBadTokenizer, "{}: tokenizer.ggml.scores has {} entries for {} tokens", file_, scores->size(),
           texts.size());
    }
    refuse("tokenizer.ggml.remove_extra_whitespaces");
    refuse("tokenizer.ggml.treat_whitespace_as_suffix");
    std::vector<Piece> pieces(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      if (!std::isfinite((*scores)[i])) {
        fail(ErrorCode::kBadTokenizer, "{}: tokenizer.ggml.scores of token {} is {}", file_, i, (*scores)[i]);
      }
      pieces[i] = {std::string(texts[i]), static_cast<float>((*scores)[i]), types[i]};
    }
    HfTokens tokens(parts_, file_);
    add_pieces(pieces, file_, parts_, tokens);
    const std::optional<TokenId> unknown = id_of("unknown");
    add_scored_model(pieces, unknown ? to_int(*unknown) : -1,
                     metadata_.boolean("tokenizer.ggml.add_space_prefix").value_or(true), parts_);
    read_special(true);
    return make_pipeline_tokenizer(std::move(parts_));
  }

  void check_size(const TextList& tokens) const {
    if (tokens.empty()) fail(ErrorCode::kBadTokenizer, "{}: tokenizer.ggml.tokens is empty", file_);
    if (static_cast<int64_t>(tokens.size()) > Vocabulary::kMaxIds) {
      fail(ErrorCode::kTooLarge, "{}: tokenizer.ggml.tokens has {} tokens, at most {} are possible", file_,
           tokens.size(), Vocabulary::kMaxIds);
    }
    const size_t bytes = tokens.bytes().size();
    if (bytes > kMaxBytes)
      fail(ErrorCode::kTooLarge, "{}: tokenizer.ggml.tokens has {} bytes, the cap is {}", file_, bytes, kMaxBytes);
  }

  /// tokenizer.ggml.token_type; all normal where it is absent.
  std::vector<PieceType> read_types(size_t count) const {
    constexpr std::string_view kKey = "tokenizer.ggml.token_type";
    const GgufValue* found = metadata_.find(kKey);
    if (found == nullptr) return std::vector<PieceType>(count, PieceType::kNormal);
    // As all files have it; widening 250k numbers is on the way to the first token.
    if (const auto* array = std::get_if<GgufValue::Array>(&found->value)) {
      if (const auto* types = std::get_if<std::vector<int32_t>>(array)) return check_types(*types, count);
    }
    return check_types(*metadata_.integers(kKey), count);
  }

  template <typename T>
  std::vector<PieceType> check_types(const std::vector<T>& types, size_t count) const {
    if (types.size() != count) {
      fail(ErrorCode::kBadTokenizer, "{}: tokenizer.ggml.token_type has {} entries for {} tokens", file_, types.size(),
           count);
    }
    std::vector<PieceType> out;
    out.reserve(count);
    for (const T type : types) {
      if (type < 1 || type > 6) {
        fail(ErrorCode::kBadTokenizer, "{}: tokenizer.ggml.token_type of token {} is {}, legal are 1 to 6", file_,
             out.size(), type);
      }
      out.push_back(static_cast<PieceType>(type));
    }
    return out;
  }

  void read_tokens() {
    const TextList& tokens = metadata_.require_strings("tokenizer.ggml.tokens");
    check_size(tokens);
    const std::vector<PieceType> types = read_types(tokens.size());
    Vocabulary& vocabulary = *(parts_.vocabulary = std::make_unique<Vocabulary>());
    vocabulary.reserve(tokens.size(), tokens.bytes().size());
    parts_.unprintable.assign(tokens.size(), false);
    std::array<uint64_t, Vocabulary::kAhead> hashes;
    for (size_t begin = 0; begin < tokens.size(); begin += hashes.size()) {
      const size_t end = std::min(begin + hashes.size(), tokens.size());
      for (size_t i = begin; i < end; ++i) {
        hashes[i - begin] = Vocabulary::hash_of(tokens[i]);
        vocabulary.prefetch_slot(hashes[i - begin]);
      }
      for (size_t i = begin; i < end; ++i) add_token(i, tokens[i], types[i], hashes[i - begin]);
    }
  }

  void add_token(size_t i, std::string_view token, PieceType type, uint64_t hash) {
    if (token.empty()) fail(ErrorCode::kBadTokenizer, "{}: token {} of tokenizer.ggml.tokens is empty", file_, i);
    const auto id = static_cast<int32_t>(i);
    if (!parts_.vocabulary->add(id, token, type == PieceType::kNormal || type == PieceType::kByte, hash)) {
      fail(ErrorCode::kBadTokenizer, "{}: token {} of tokenizer.ggml.tokens, '{}', stands at {} already", file_, i,
           printable(token), parts_.vocabulary->find(token));
    }
    if (type == PieceType::kUnused) parts_.unprintable[i] = true;
    if (type == PieceType::kUnknown || type == PieceType::kControl || type == PieceType::kUserDefined) {
      parts_.added.push_back(
          {.id = TokenId{id}, .content = std::string(token), .special = type != PieceType::kUserDefined});
    }
  }

  /// No file of this kind is known to set these, so what they would mean here is not; ignoring them would be silent.
  void refuse(std::string_view key) const {
    if (metadata_.boolean(key).value_or(false)) {
      fail(ErrorCode::kUnsupportedFeature, "{}: {} is true, which is unknown for this kind of tokenizer", file_, key);
    }
  }

  void read_merges(const Family& family) {
    const TextList& merges = metadata_.require_strings("tokenizer.ggml.merges");
    parts_.model =
        std::make_unique<ByteBpe>(*parts_.vocabulary, ByteBpe::Options{.ignore_merges = family.ignore_merges});
    parts_.model->reserve(merges.size());
    std::array<std::pair<std::string_view, std::string_view>, BpeModel::kMergeBlock> pairs;
    for (size_t begin = 0; begin < merges.size(); begin += pairs.size()) {
      const size_t count = std::min(pairs.size(), merges.size() - begin);
      for (size_t i = 0; i < count; ++i) pairs[i] = split_merge(merges, begin + i);
      size_t done = 0;
      if (parts_.model->add_merges(std::span(pairs).first(count), done) == MergeFault::kNone) continue;
      // That the entries are pairs at all is judged first.
      for (size_t i = begin + count; i < merges.size(); ++i) split_merge(merges, i);
      fail(ErrorCode::kBadTokenizer,
           "{}: tokenizer.ggml.merges[{}] is '{}', but its parts and their product are not all tokens", file_,
           begin + done, printable(merges[begin + done]));
    }
    parts_.token_bytes = parts_.model->finish();
  }

  std::pair<std::string_view, std::string_view> split_merge(const TextList& merges, size_t i) const {
    const std::string_view merge = merges[i];
    const size_t space = merge.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos) {
      fail(ErrorCode::kBadTokenizer, "{}: tokenizer.ggml.merges[{}] is '{}', not two parts with a space between", file_,
           i, printable(merge));
    }
    return {merge.substr(0, space), merge.substr(space + 1)};
  }

  std::optional<TokenId> id_of(std::string_view name) const {
    const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
    const std::optional<int64_t> id = metadata_.integer(key);
    if (!id) return std::nullopt;
    if (*id < 0 || *id >= parts_.vocabulary->size()) {
      fail(ErrorCode::kBadTokenizer, "{}: {} is {}, ids are 0 to {}", file_, key, *id, parts_.vocabulary->size() - 1);
    }
    return TokenId{static_cast<int32_t>(*id)};
  }

  /// `adds_bos`: where the file does not say.
  void read_special(bool adds_bos) {
    // The format's own spelling is "seperator"; both occur.
    static constexpr std::array<std::array<std::string_view, 2>, 8> kNames = {{{"bos", "bos_token"},
                                                                               {"eos", "eos_token"},
                                                                               {"unknown", "unk_token"},
                                                                               {"seperator", "sep_token"},
                                                                               {"separator", "sep_token"},
                                                                               {"padding", "pad_token"},
                                                                               {"cls", "cls_token"},
                                                                               {"mask", "mask_token"}}};
    for (const auto& [gguf_name, name] : kNames) {
      if (const std::optional<TokenId> id = id_of(gguf_name)) {
        parts_.special_token_strings.emplace_back(name, parts_.vocabulary->spelling(to_int(*id)));
      }
    }
    parts_.bos = id_of("bos");
    parts_.eos = id_of("eos");
    const std::optional<bool> add_bos = metadata_.boolean("tokenizer.ggml.add_bos_token");
    const std::optional<bool> add_eos = metadata_.boolean("tokenizer.ggml.add_eos_token");
    const auto need = [&](std::string_view name, std::optional<TokenId> id) {
      if (!id)
        fail(ErrorCode::kBadTokenizer, "{}: add_{}_token is true, but tokenizer.ggml.{}_token_id is absent", file_,
             name, name);
      return *id;
    };
    if (add_bos.value_or(false)) parts_.front = {need("bos", parts_.bos)};
    if (!add_bos && adds_bos && parts_.bos) parts_.front = {*parts_.bos};
    if (add_eos.value_or(false)) parts_.back = {need("eos", parts_.eos)};
  }

  static constexpr size_t kMaxBytes = size_t{1} << 30;
  const GgufMetadata& metadata_;
  const std::string& file_;
  TokenizerParts parts_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const GgufMetadata& metadata) { return GgufLoader(metadata).load(); }

}  // namespace duet
