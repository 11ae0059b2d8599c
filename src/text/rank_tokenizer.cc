#include "text/rank_tokenizer.h"

#include <array>
#include <charconv>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/hf_stages.h"
#include "text/hf_tokens.h"

namespace duet {
namespace {

/// The families that publish ranks. BOS belongs to the family where the configuration does not speak of it.
struct Family {
  int64_t ranks;
  SplitPattern pattern;
  bool nfc;
  std::string_view bos;
};
constexpr std::array<Family, 4> kFamilies = {{
    {128000, SplitPattern::kLlama3, false, "<|begin_of_text|>"},
    {200000, SplitPattern::kLlama4, false, "<|begin_of_text|>"},
    {151643, SplitPattern::kQwen2, true, ""},
    {248044, SplitPattern::kQwen35, true, ""},
}};

/// False when `text` is no base64 with padding, or nothing.
bool decode_base64(std::string_view text, std::string& out) {
  out.clear();
  if (text.empty() || text.size() % 4 != 0) return false;
  const auto value = [](char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
  };
  for (size_t i = 0; i < text.size(); i += 4) {
    size_t digits = 4;
    if (i + 4 == text.size()) {
      while (digits > 2 && text[i + digits - 1] == '=') --digits;
    }
    unsigned bits = 0;
    for (size_t k = 0; k < 4; ++k) {
      const int digit = k < digits ? value(text[i + k]) : 0;
      if (digit < 0) return false;
      bits = bits << 6 | static_cast<unsigned>(digit);
    }
    for (size_t k = 0; k + 1 < digits; ++k) out += static_cast<char>(bits >> (16 - 8 * k) & 0xff);
    if (digits < 4 && (bits & (digits == 2 ? 0xffffU : 0xffU)) != 0) return false;  // bits that belong to no byte
  }
  return true;
}

class RankLoader {
 public:
  RankLoader(std::string_view text, std::string_view file, const Json* config)
      : text_(text), file_(file), config_(config), tokens_(parts_, file) {}

  std::unique_ptr<Tokenizer> load() {
    parts_.vocabulary = std::make_unique<Vocabulary>();
    parts_.vocabulary->reserve(text_.size() / 12, text_.size());
    read_lines();
    const int64_t ranks = parts_.vocabulary->tokens();
    const Family* family = nullptr;
    for (const Family& known : kFamilies) {
      if (known.ranks == ranks) family = &known;
    }
    read_pattern(family);
    add_merges();
    if (config_ != nullptr) tokens_.read_config_added(*config_);
    if (config_ != nullptr) tokens_.read_config_names(*config_);
    if (config_ != nullptr) tokens_.read_config_ends(*config_);
    const bool decided = config_ != nullptr && config_->find("add_bos_token") != nullptr;
    if (family != nullptr && !family->bos.empty() && !decided) {
      const int32_t bos = parts_.vocabulary->find(family->bos);
      if (bos < 0) {
        fail(ErrorCode::kMissingKey,
             "{}: has {} ranks, as a family has that begins with {}, but added_tokens_decoder of {} does not list it",
             file_, ranks, family->bos, kTokenizerConfigFile);
      }
      parts_.front = {TokenId{bos}};
      if (!parts_.bos) parts_.bos = TokenId{bos};
    }
    return make_pipeline_tokenizer(std::move(parts_));
  }

 private:
  void read_lines() {
    std::string bytes;
    int64_t line_number = 0;
    for (std::string_view rest = text_; !rest.empty();) {
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      ++line_number;
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) continue;
      const size_t space = line.find(' ');
      int64_t rank = -1;
      if (space != std::string_view::npos) {
        const auto [end, fault] = std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
        if (fault != std::errc() || end != line.data() + line.size()) rank = -1;
      }
      if (rank < 0 || !decode_base64(line.substr(0, space), bytes)) {
        fail(ErrorCode::kBadTokenizer, "{}: line {} is '{}', not base64, a space and a rank", file_, line_number,
             printable(line));
      }
      if (rank >= Vocabulary::kMaxIds) {
        fail(ErrorCode::kTooLarge, "{}: line {} has the rank {}, legal are 0 to {}", file_, line_number, rank,
             Vocabulary::kMaxIds - 1);
      }
      tokens_.add_token(static_cast<int32_t>(rank), spell_bytes(bytes), file_, true);
    }
    const Vocabulary& vocabulary = *parts_.vocabulary;
    if (vocabulary.tokens() == 0) fail(ErrorCode::kBadTokenizer, "{}: no ranks", file_);
    for (int64_t id = 0; id < vocabulary.size(); ++id) {
      if (!vocabulary.has(id)) {
        fail(ErrorCode::kBadTokenizer, "{}: rank {} is missing, but there is rank {}", file_, id,
             vocabulary.size() - 1);
      }
    }
    for (int byte = 0; byte < 256; ++byte) {
      if (vocabulary.find(spell_byte(static_cast<unsigned char>(byte))) < 0) {
        fail(ErrorCode::kBadTokenizer, "{}: byte {} has no rank", file_, byte);
      }
    }
  }

  void read_pattern(const Family* family) {
    const Json* own = config_ != nullptr ? config_->find("pretokenize_regex") : nullptr;
    if (own != nullptr && !own->is_null()) {
      add_pattern(require_text(*config_, "pretokenize_regex", kTokenizerConfigFile, "the file"), kTokenizerConfigFile,
                  parts_);
    } else if (family != nullptr) {
      parts_.pre_tokenizer.push_back({.kind = PreTokenizer::Kind::kPattern, .pattern = family->pattern});
    } else {
      std::string known;
      for (const Family& one : kFamilies) known += (known.empty() ? "" : ", ") + std::to_string(one.ranks);
      fail(ErrorCode::kUnsupportedFeature,
           "{}: has {} ranks, which does not say how text is split; known are files with {} ranks, and {} with "
           "pretokenize_regex",
           file_, parts_.vocabulary->tokens(), known, kTokenizerConfigFile);
    }
    if (family != nullptr && family->nfc) parts_.normalizer.push_back({.kind = NormalizerStep::Kind::kNfc});
  }

  /// Every cut of a token into two tokens, with the token's rank: what joins is told by the joined bytes alone.
  void add_merges() {
    const Vocabulary& vocabulary = *parts_.vocabulary;
    auto model = std::make_unique<ByteBpe>(vocabulary, ByteBpe::Options{.ignore_merges = true});
    model->reserve(static_cast<size_t>(vocabulary.tokens()) * 2);
    for (int32_t id = 0; id < vocabulary.size(); ++id) {
      const std::string_view whole = vocabulary.spelling(id);
      for (size_t cut = 1; cut < whole.size(); ++cut) {
        if ((static_cast<unsigned char>(whole[cut]) & 0xc0) == 0x80) continue;  // inside a byte's spelling
        const int32_t left = vocabulary.find(whole.substr(0, cut));
        if (left < 0) continue;
        const int32_t right = vocabulary.find(whole.substr(cut));
        if (right >= 0) model->add_merge(left, right, {static_cast<uint32_t>(id), id});
      }
    }
    parts_.token_bytes = model->finish();
    parts_.model = std::move(model);
  }

  std::string_view text_, file_;
  const Json* config_;
  TokenizerParts parts_;
  HfTokens tokens_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_rank_tokenizer(std::string_view text, std::string_view file, const Json* config) {
  return RankLoader(text, file, config).load();
}

}  // namespace duet
