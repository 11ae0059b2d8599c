#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/tokenizer.h"

namespace duet::test {

/// A tokenizer whose ids can be read off a text: bytes are ids 0 to 255, added tokens follow. With `letters` every
/// other id prints as a letter, so that whatever a model chooses is text.
class FakeTokenizer final : public Tokenizer {
 public:
  explicit FakeTokenizer(const std::vector<std::pair<std::string, bool>>& added = {}, int64_t size = 512,
                         bool letters = false)
      : finder_(tokens(added)), size_(size) {
    for (int64_t id = 0; id < size; ++id) {
      bytes_.push_back(id < 256 && !letters ? std::string(1, static_cast<char>(id))
                                            : std::string(1, static_cast<char>('a' + id % 26)));
    }
    for (const AddedToken& token : finder_.tokens()) bytes_[static_cast<size_t>(to_int(token.id))] = token.content;
  }

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<TokenId> ids;
    if (!options.parse_special) {
      bytes_to_ids(text, ids);
      return ids;
    }
    for (const auto& part : finder_.split(text, options.plain_spans)) {
      if (part.token >= 0) {
        ids.push_back(finder_.tokens()[static_cast<size_t>(part.token)].id);
      } else {
        bytes_to_ids(text.substr(part.begin, part.end - part.begin), ids);
      }
    }
    return ids;
  }
  std::vector<AddedTokenMatch> find_added(std::string_view text) const override {
    std::vector<AddedTokenMatch> matches;
    for (const auto& part : finder_.split(text)) {
      if (part.token < 0) continue;
      matches.push_back({finder_.tokens()[static_cast<size_t>(part.token)].id, {part.begin, part.end}});
    }
    return matches;
  }
  std::string_view token_bytes(TokenId id) const override {
    if (to_int(id) < 0 || to_int(id) >= size_) fail(ErrorCode::kBadValue, "token id {}", to_int(id));
    return bytes_[static_cast<size_t>(to_int(id))];
  }
  bool is_special(TokenId id) const override {
    for (const AddedToken& token : finder_.tokens()) {
      if (token.id == id) return token.special;
    }
    return false;
  }
  int64_t vocabulary_size() const override { return size_; }
  std::optional<TokenId> find(std::string_view) const override { return std::nullopt; }
  std::optional<TokenId> bos() const override { return std::nullopt; }
  std::optional<TokenId> eos() const override { return std::nullopt; }
  const std::vector<std::pair<std::string, std::string>>& special_token_strings() const override { return none_; }
  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    std::string text;
    for (const TokenId id : ids) {
      if (!skip_special || !is_special(id)) text += token_bytes(id);
    }
    return text;
  }

 private:
  static std::vector<AddedToken> tokens(const std::vector<std::pair<std::string, bool>>& added) {
    std::vector<AddedToken> list;
    for (const auto& [content, special] : added) {
      list.push_back({.id = TokenId{static_cast<int32_t>(256 + list.size())}, .content = content, .special = special});
    }
    return list;
  }
  static void bytes_to_ids(std::string_view text, std::vector<TokenId>& ids) {
    for (const char c : text) ids.push_back(TokenId{static_cast<unsigned char>(c)});
  }

  AddedTokenFinder finder_;
  int64_t size_;
  std::vector<std::string> bytes_;
  std::vector<std::pair<std::string, std::string>> none_;
};

}  // namespace duet::test
