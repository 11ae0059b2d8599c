#include "text/pipeline_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/piece_cache.h"

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
      encode_raw(text, nullptr, true, out);
    } else {
      for (const AddedTokenFinder::Part& part : raw_.split(text, options.plain_spans)) {
        if (part.token >= 0) {
          out.push_back(raw_.tokens()[static_cast<size_t>(part.token)].id);
        } else {
          const auto plain = spans_within(options.plain_spans, part.begin, part.end);
          encode_raw(text.substr(part.begin, part.end - part.begin), &plain, part.begin == 0, out);
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
      std::string normal;
      if (!normalize(parts_.normalizer, stretch, normal)) normal = stretch;
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
  bool strips_leading_space() const override { return parts_.strip_leading_space; }
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
    if (parts_.strip_leading_space && out.starts_with(' ')) out.erase(0, 1);
    return is_valid_utf8(out) ? out : replace_invalid_utf8(out);
  }

 private:
  static AddedTokenFinder tokens_of(const TokenizerParts& parts, bool normalized) {
    std::vector<AddedToken> chosen;
    for (const AddedToken& token : parts.added) {
      if (token.normalized != normalized) continue;
      chosen.push_back(token);
      std::string content;
      if (normalized && normalize(parts.normalizer, token.content, content)) chosen.back().content = content;
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
    const TokenBytes known = std::move(parts_.token_bytes);
    bytes_.reserve(std::max(known.bytes.size() + 4096, static_cast<size_t>(size)));
    begin_.reserve(static_cast<size_t>(size) + 1);
    begin_.push_back(0);
    for (int32_t id = 0; id < size; ++id) {
      const auto i = static_cast<size_t>(id);
      const std::string_view spelling = parts_.vocabulary->spelling(id);
      if (i >= parts_.unprintable.size() || !parts_.unprintable[i]) {
        // A spelling with other characters than the byte alphabet's stands for itself, as in the reference.
        const bool itself = added[i] != 0;
        const bool is_known = !itself && i + 1 < known.begin.size() && known.begin[i] < known.begin[i + 1];
        if (is_known) {
          bytes_.append(known.bytes, known.begin[i], known.begin[i + 1] - known.begin[i]);
        } else if (!itself && parts_.spelling == TokenSpelling::kMetaspace) {
          append_from_metaspace(spelling);
        } else if (itself || !append_unspelled(spelling, bytes_)) {
          bytes_ += spelling;
        }
      }
      begin_.push_back(static_cast<uint32_t>(bytes_.size()));
    }
  }

  void append_from_metaspace(std::string_view spelling) {
    const auto digit = [&](size_t i) {
      const char c = spelling[i];
      return c >= '0' && c <= '9'   ? c - '0'
             : c >= 'A' && c <= 'F' ? c - 'A' + 10
             : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                    : -1;
    };
    if (spelling.size() == 6 && spelling.starts_with("<0x") && spelling[5] == '>' && digit(3) >= 0 && digit(4) >= 0) {
      bytes_ += static_cast<char>(digit(3) * 16 + digit(4));
    } else {
      bytes_ += replace_all(spelling, "\u2581", " ");
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
  /// `first`: the whole text begins here.
  void encode_raw(std::string_view text, const std::vector<TextSpan>* plain, bool first,
                  std::vector<TokenId>& out) const {
    std::string normal;
    const bool moved = normalize(parts_.normalizer, text, normal);
    if (moved) text = normal;
    if (plain == nullptr || normalized_.empty() || (!plain->empty() && moved)) return encode_plain(text, first, out);
    for (const AddedTokenFinder::Part& part : normalized_.split(text, *plain)) {
      if (part.token >= 0) {
        out.push_back(normalized_.tokens()[static_cast<size_t>(part.token)].id);
      } else {
        encode_plain(text.substr(part.begin, part.end - part.begin), first && part.begin == 0, out);
      }
    }
  }

  void encode_plain(std::string_view text, bool first, std::vector<TokenId>& out) const {
    std::string spaced;
    if (parts_.metaspace) {
      const Metaspace& rule = *parts_.metaspace;
      spaced = replace_all(text, " ", rule.replacement);
      if ((rule.prepend == Metaspace::Prepend::kAlways || (rule.prepend == Metaspace::Prepend::kFirst && first)) &&
          !spaced.starts_with(rule.replacement)) {
        spaced.insert(0, rule.replacement);
      }
      text = spaced;
    }
    PieceCache cache(text);
    std::vector<int32_t> symbols;
    const auto encode_part = [&](std::string_view part) {
      if (part.size() > PieceCache::kMaxBytes) return parts_.model->encode(part, symbols, out);
      const PieceCache::Key key = cache.key_of(part);
      if (cache.append(key, out)) return;
      const size_t before = out.size();
      parts_.model->encode(part, symbols, out);
      cache.store(key, std::span(out).subspan(before));
    };
    const auto encode_piece = [&](std::string_view piece) {
      if (parts_.spelling == TokenSpelling::kBytes) return encode_part(piece);
      for (size_t begin = 0; begin < piece.size();) {
        const size_t end = parts_.model->part_end(piece, begin);
        encode_part(piece.substr(begin, end - begin));
        begin = end;
      }
    };
    if (parts_.metaspace && parts_.metaspace->split) {
      const std::string& mark = parts_.metaspace->replacement;
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(mark, begin + 1), text.size());
        encode_piece(text.substr(begin, end - begin));
        begin = end;
      }
    } else {
      pre_tokenizer_.split(text, encode_piece);
    }
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
