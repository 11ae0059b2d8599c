#include <algorithm>
#include <functional>

#include "base/utf8.h"
#include "text/bpe.h"

namespace duet {
namespace {

// Symbols that are no tokens: characters that only merge, and those that nothing is known of.
constexpr int32_t kTokenless = 0x20000000, kStranger = 0x40000000;

constexpr uint64_t pair_key(char32_t left, char32_t right) { return static_cast<uint64_t>(left) << 32 | right; }

/// Start of the last character of a text that is not empty.
size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

}  // namespace

CharacterBpe::CharacterBpe(const Vocabulary& vocabulary, const Options& options)
    : BpeModel(vocabulary), options_(options) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (unsigned b = 0; b < 256; ++b) {
    byte_token_[b] = vocabulary.find_ordinary(std::string("<0x") + kHex[b / 16] + kHex[b % 16] + ">");
    if (byte_token_[b] < 0) all_bytes_ = false;
  }
}

/// A token, or a character without one; -1 otherwise.
int32_t CharacterBpe::symbol_of(std::string_view part) {
  const Utf8Step step = decode_utf8(part);
  if (static_cast<size_t>(step.length) == part.size() && step.valid) {
    const int32_t known = characters_.get(step.code);
    if (known >= 0) return known;
    const auto symbol = kTokenless + static_cast<int32_t>(tokenless_.size());
    tokenless_.push_back(step.code);
    characters_.put(step.code, symbol);
    return symbol;
  }
  return -1;
}

void CharacterBpe::add_scored(const std::vector<std::pair<int32_t, float>>& tokens) {
  std::vector<float> scores;
  std::vector<bool> mergeable(static_cast<size_t>(vocabulary_.size()), false);
  for (const auto& [id, score] : tokens) {
    scores.push_back(score);
    mergeable[static_cast<size_t>(id)] = true;
    const std::string_view spelling = vocabulary_.spelling(id);
    const Utf8Step step = decode_utf8(spelling);
    if (static_cast<size_t>(step.length) == spelling.size()) characters_.put(step.code, id);
  }
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  reserve(tokens.size() * 2);
  const auto part = [&](std::string_view text) {
    const int32_t id = vocabulary_.find(text);
    return id >= 0 && mergeable[static_cast<size_t>(id)] ? id : symbol_of(text);
  };
  for (const auto& [id, score] : tokens) {
    const auto place = std::lower_bound(scores.begin(), scores.end(), score, std::greater<>());
    const Merges::Merge merge{static_cast<uint32_t>(place - scores.begin()), id};
    const std::string_view whole = vocabulary_.spelling(id);
    for (size_t cut = 1; cut < whole.size(); ++cut) {
      if ((static_cast<unsigned char>(whole[cut]) & 0xc0) == 0x80) continue;
      // Both looked up first: a character must not become a symbol for a merge that there is not.
      const std::string_view left = whole.substr(0, cut), right = whole.substr(cut);
      const bool left_is_one = last_character(left) == 0, right_is_one = last_character(right) == 0;
      const int32_t left_id = vocabulary_.find(left), right_id = vocabulary_.find(right);
      if (!left_is_one && (left_id < 0 || !mergeable[static_cast<size_t>(left_id)])) continue;
      if (!right_is_one && (right_id < 0 || !mergeable[static_cast<size_t>(right_id)])) continue;
      add_merge(part(left), part(right), merge);
    }
  }
}

/// The first or last character of what a symbol stands for.
char32_t CharacterBpe::edge(int32_t symbol, bool last) const {
  if (symbol >= kTokenless) return tokenless_[static_cast<size_t>(symbol - kTokenless)];
  const std::string_view text = vocabulary_.spelling(symbol);
  return decode_utf8(last ? text.substr(last_character(text)) : text).code;
}

TokenBytes CharacterBpe::finish() {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (!vocabulary_.has(id) || !vocabulary_.ordinary(id)) continue;
    const std::string_view spelling = vocabulary_.spelling(id);
    const Utf8Step step = decode_utf8(spelling);
    if (step.valid && static_cast<size_t>(step.length) == spelling.size() && characters_.get(step.code) < 0)
      characters_.put(step.code, id);
  }
  merges_.for_each([&](int32_t left, int32_t right, const Merges::Merge&) {
    const char32_t before = edge(left, true), after = edge(right, false);
    if (before < 128 && after < 128) {
      joins_ascii_[before << 7 | after] = true;
    } else {
      joins_.push_back(pair_key(before, after));
    }
  });
  std::sort(joins_.begin(), joins_.end());
  joins_.erase(std::unique(joins_.begin(), joins_.end()), joins_.end());
  return {};
}

size_t CharacterBpe::part_end(std::string_view piece, size_t begin) const {
  if (options_.ignore_merges) return piece.size();  // the whole piece may be a token
  const bool fuses = options_.fuse_unknown && !(options_.byte_fallback && all_bytes_);
  const auto is_token = [&](char32_t code) {
    const int32_t symbol = characters_.get(code);
    return symbol >= 0 && symbol < kTokenless;
  };
  Utf8Step step = decode_utf8(piece.substr(begin));
  size_t end = begin + static_cast<size_t>(step.length);
  while (end < piece.size()) {
    const char32_t before = step.code;
    step = decode_utf8(piece.substr(end));
    const bool joins = before < 128 && step.code < 128
                           ? joins_ascii_[before << 7 | step.code]
                           : std::binary_search(joins_.begin(), joins_.end(), pair_key(before, step.code));
    if (!joins && !(fuses && !is_token(before) && !is_token(step.code))) break;
    end += static_cast<size_t>(step.length);
  }
  return end;
}

void CharacterBpe::append_unknown(char32_t code, bool fuse, std::vector<TokenId>& out) const {
  std::string bytes;
  append_utf8(bytes, code);
  const auto token = [&](char c) { return byte_token_[static_cast<unsigned char>(c)]; };
  if (options_.byte_fallback && std::all_of(bytes.begin(), bytes.end(), [&](char c) { return token(c) >= 0; })) {
    for (const char c : bytes) out.push_back(TokenId{token(c)});
  } else if (options_.unknown >= 0 && !(fuse && options_.fuse_unknown)) {
    out.push_back(TokenId{options_.unknown});
  }
}

void CharacterBpe::encode(std::string_view piece, std::vector<int32_t>& symbols, std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    if (const int32_t id = vocabulary_.find_ordinary(piece); id >= 0) {
      out.push_back(TokenId{id});
      return;
    }
  }
  symbols.clear();
  symbols.reserve(piece.size());
  for (size_t i = 0; i < piece.size();) {
    const Utf8Step step = decode_utf8(piece.substr(i));
    const int32_t symbol = characters_.get(step.code);
    symbols.push_back(symbol >= 0 ? symbol : kStranger + static_cast<int32_t>(step.code));
    i += static_cast<size_t>(step.length);
  }
  merges_.apply_many(symbols);
  bool unknown_before = false;
  for (const int32_t symbol : symbols) {
    if (symbol < kTokenless) {
      out.push_back(TokenId{symbol});
      unknown_before = false;
      continue;
    }
    const char32_t code = symbol >= kStranger ? static_cast<char32_t>(symbol - kStranger)
                                              : tokenless_[static_cast<size_t>(symbol - kTokenless)];
    append_unknown(code, unknown_before, out);
    unknown_before = true;
  }
}

}  // namespace duet
