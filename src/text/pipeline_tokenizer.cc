#include "text/pipeline_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/nfc.h"

namespace duet {
namespace {

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts)
      : parts_(std::move(parts)),
        pre_tokenizer_(parts_.pre_tokenizer),
        raw_(tokens_of(parts_, false)),
        normalized_(tokens_of(parts_, true)) {
    fill_bytes();
  }

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    std::string repaired;
    if (!is_valid_utf8(text)) {
      if (!options.plain_spans.empty()) fail(ErrorCode::kBadValue, "a text with plain spans is not UTF-8");
      text = repaired = replace_invalid_utf8(text);
    }
    std::vector<TokenId> out;
    if (options.add_special) out = parts_.front;
    out.reserve(out.size() + text.size() / 4);
    if (!options.parse_special) {
      encode_raw(text, nullptr, out);
    } else {
      for (const AddedTokenFinder::Part& part : raw_.split(text, options.plain_spans)) {
        if (part.token >= 0) {
          out.push_back(raw_.tokens()[static_cast<size_t>(part.token)].id);
        } else {
          const auto plain = spans_within(options.plain_spans, part.begin, part.end);
          encode_raw(text.substr(part.begin, part.end - part.begin), &plain, out);
        }
      }
    }
    if (options.add_special) out.insert(out.end(), parts_.back.begin(), parts_.back.end());
    return out;
  }

  std::vector<AddedTokenMatch> find_added(std::string_view text) const override {
    std::vector<AddedTokenMatch> matches;
    for (const AddedTokenFinder::Part& part : raw_.split(text)) {
      if (part.token >= 0) {
        matches.push_back({raw_.tokens()[static_cast<size_t>(part.token)].id, {part.begin, part.end}});
        continue;
      }
      if (normalized_.empty()) continue;
      const std::string_view stretch = text.substr(part.begin, part.end - part.begin);
      const std::string normal = parts_.nfc ? nfc(stretch) : std::string(stretch);
      for (const AddedTokenFinder::Part& inner : normalized_.split(normal)) {
        if (inner.token < 0) continue;
        const TokenId id = normalized_.tokens()[static_cast<size_t>(inner.token)].id;
        if (normal != stretch) {  // places in the normalized text are not places in this one
          matches.push_back({id, {part.begin, part.end}});
          break;
        }
        matches.push_back({id, {part.begin + inner.begin, part.begin + inner.end}});
      }
    }
    return matches;
  }

  std::string_view token_bytes(TokenId id) const override {
    const auto i = static_cast<size_t>(checked(id));
    return std::string_view(bytes_).substr(begin_[i], begin_[i + 1] - begin_[i]);
  }

  bool is_special(TokenId id) const override { return special_[static_cast<size_t>(checked(id))]; }
  int64_t vocabulary_size() const override { return parts_.vocabulary->size(); }

  std::optional<TokenId> find(std::string_view content) const override {
    const int32_t id = parts_.vocabulary->find(content);
    return id < 0 ? std::nullopt : std::optional(TokenId{id});
  }

  std::optional<TokenId> bos() const override { return parts_.bos; }
  std::optional<TokenId> eos() const override { return parts_.eos; }
  const std::vector<std::pair<std::string, std::string>>& special_token_strings() const override {
    return parts_.special_token_strings;
  }

  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    std::string out;
    for (const TokenId id : ids) {
      const std::string_view bytes = token_bytes(id);
      if (!skip_special || !is_special(id)) out += bytes;
    }
    return is_valid_utf8(out) ? out : replace_invalid_utf8(out);
  }

 private:
  static AddedTokenFinder tokens_of(const TokenizerParts& parts, bool normalized) {
    std::vector<AddedToken> chosen;
    for (const AddedToken& token : parts.added) {
      if (token.normalized != normalized) continue;
      chosen.push_back(token);
      if (normalized && parts.nfc) chosen.back().content = nfc(token.content);
    }
    return AddedTokenFinder(std::move(chosen));
  }

  void fill_bytes() {
    const int64_t size = parts_.vocabulary->size();
    std::vector<int8_t> added(static_cast<size_t>(size), 0);
    special_.assign(static_cast<size_t>(size), false);
    for (const AddedToken& token : parts_.added) {
      added[static_cast<size_t>(to_int(token.id))] = 1;
      special_[static_cast<size_t>(to_int(token.id))] = token.special;
    }
    begin_.reserve(static_cast<size_t>(size) + 1);
    begin_.push_back(0);
    for (int32_t id = 0; id < size; ++id) {
      const auto i = static_cast<size_t>(id);
      const std::string_view spelling = parts_.vocabulary->spelling(id);
      if (i >= parts_.unprintable.size() || !parts_.unprintable[i]) {
        // A spelling with other characters than the byte alphabet's stands for itself, as in the reference.
        const std::optional<std::string> bytes = added[i] != 0 ? std::nullopt : unspell_bytes(spelling);
        bytes_ += bytes ? std::string_view(*bytes) : spelling;
      }
      begin_.push_back(static_cast<uint32_t>(bytes_.size()));
    }
  }

  int32_t checked(TokenId id) const {
    if (to_int(id) < 0 || to_int(id) >= vocabulary_size()) {
      fail(ErrorCode::kBadValue, "token id {} is outside the vocabulary: 0 to {}", to_int(id), vocabulary_size() - 1);
    }
    return to_int(id);
  }

  /// The parts of the spans that lie in [begin, end), counted from begin.
  static std::vector<TextSpan> spans_within(std::span<const TextSpan> spans, size_t begin, size_t end) {
    std::vector<TextSpan> within;
    auto span = std::partition_point(spans.begin(), spans.end(), [&](const TextSpan& s) { return s.end <= begin; });
    for (; span != spans.end() && span->begin < end; ++span) {
      within.push_back({std::max(span->begin, begin) - begin, std::min(span->end, end) - begin});
    }
    return within;
  }

  /// Text without added tokens of the raw kind. `plain`: where those of the other kind are not recognised; nullptr =
  /// nowhere are they. Where normalization moves the text, spans in it are not known any more and none is recognised.
  void encode_raw(std::string_view text, const std::vector<TextSpan>* plain, std::vector<TokenId>& out) const {
    std::string normal;
    const std::string_view original = text;
    if (parts_.nfc && !is_plainly_nfc(text)) text = normal = nfc(text);
    if (plain == nullptr || normalized_.empty() || (!plain->empty() && text != original))
      return encode_plain(text, out);
    for (const AddedTokenFinder::Part& part : normalized_.split(text, *plain)) {
      if (part.token >= 0) {
        out.push_back(normalized_.tokens()[static_cast<size_t>(part.token)].id);
      } else {
        encode_plain(text.substr(part.begin, part.end - part.begin), out);
      }
    }
  }

  void encode_plain(std::string_view text, std::vector<TokenId>& out) const {
    pre_tokenizer_.split(text, [&](std::string_view piece) { parts_.model->encode(piece, out); });
  }

  TokenizerParts parts_;
  PreTokenizer pre_tokenizer_;
  AddedTokenFinder raw_, normalized_;
  std::vector<bool> special_;
  std::string bytes_;  // what each token stands for, one behind the other
  std::vector<uint32_t> begin_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts) {
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace duet
