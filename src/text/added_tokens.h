#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "text/tokenizer.h"

namespace duet {

/// A token that is looked for in the text before anything else.
struct AddedToken {
  TokenId id;
  std::string content;
  bool special = false;
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // and on its right
  bool single_word = false;  // only where no word character touches it
  bool normalized = false;   // looked for in the normalized text, by its normalized content
};

/// Finds added tokens: from left to right, the longest at the leftmost place; a match that single_word forbids is
/// dropped and the search goes on behind it. Linear in the text, whatever the tokens are.
class AddedTokenFinder {
 public:
  /// Contents must not be empty; of two equal contents the first wins.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);
  bool empty() const { return tokens_.empty(); }

  /// A stretch of the text: [begin, end), and which token it is (an index into tokens(), or -1 for text between).
  struct Part {
    size_t begin;
    size_t end;
    int32_t token;
  };
  const std::vector<AddedToken>& tokens() const { return tokens_; }
  /// The parts of `text` (valid UTF-8) in order. A token that shares a byte with one of `plain` (ascending, apart) is
  /// no token.
  std::vector<Part> split(std::string_view text, std::span<const TextSpan> plain = {}) const;

 private:
  // Contents are kept reversed and the text is read from its end: the automaton's longest match at each place is then
  // the longest token that begins there.
  struct State {
    int32_t fail = 0;
    int32_t token = -1;  // the longest token that is a suffix of what this state has read
  };
  struct Match {
    size_t begin;
    int32_t token;
  };
  int32_t step(int32_t state, unsigned char byte) const;
  std::vector<Match> longest_matches(std::string_view text, std::span<const TextSpan> plain) const;

  std::vector<AddedToken> tokens_;
  std::vector<State> states_;
  std::unordered_map<uint64_t, int32_t> edges_;  // (state << 8 | byte) -> state; not those from state 0
  std::vector<int32_t> root_;                    // 256 edges from state 0
};

}  // namespace duet
