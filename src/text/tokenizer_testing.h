#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "text/byte_level.h"
#include "text/tokenizer.h"

namespace duet::test {

/// The 256 byte tokens in the order of their bytes, so that the id of a byte is its value, then `more`.
inline std::vector<std::string> byte_tokens(const std::vector<std::string>& more) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(spell_byte(static_cast<unsigned char>(b)));
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

inline GgufValue scalar(GgufValue::Scalar value) { return {std::move(value)}; }
inline GgufValue array(GgufValue::Array value) { return {std::move(value)}; }

/// Metadata of a small tokenizer: bytes, "th", "the" and then added tokens with their types.
struct SmallGguf {
  std::string pre = "gpt-2";
  std::vector<std::string> tokens = byte_tokens({"th", "the", "<|bos|>", "<tool>", "[PAD260]"});
  std::vector<int32_t> types = std::vector<int32_t>(258, 1);
  std::vector<std::string> merges = {"t h", "th e"};
  std::vector<std::pair<std::string, GgufValue>> more;

  SmallGguf() { types.insert(types.end(), {3, 4, 5}); }
  GgufMetadata metadata() const {
    GgufMetadata out("small.gguf");
    out.add("tokenizer.ggml.model", scalar(std::string("gpt2")));
    out.add("tokenizer.ggml.pre", scalar(pre));
    out.add("tokenizer.ggml.tokens", array(TextList(tokens)));
    out.add("tokenizer.ggml.token_type", array(types));
    out.add("tokenizer.ggml.merges", array(TextList(merges)));
    for (const auto& [key, value] : more) out.add(key, value);
    return out;
  }
};

inline std::vector<int> ints(std::span<const TokenId> ids) {
  std::vector<int> out;
  for (const TokenId id : ids) out.push_back(to_int(id));
  return out;
}

inline std::vector<TokenId> token_ids(const std::vector<int>& values) {
  std::vector<TokenId> out;
  for (const int value : values) out.push_back(TokenId{value});
  return out;
}

}  // namespace duet::test
