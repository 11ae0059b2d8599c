#include "text/added_tokens.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/unicode.h"

namespace duet {
namespace {

/// Start of the character that ends at `end` > 0.
size_t previous_character(std::string_view text, size_t end) {
  size_t i = end - 1;
  while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) --i;
  return i;
}

bool character_is(std::string_view text, size_t at, CharacterClass classes) {
  return (character_class(decode_utf8(text.substr(at)).code) & classes) != 0;
}

bool touches_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && character_is(text, previous_character(text, begin), kWord)) ||
         (end < text.size() && character_is(text, end, kWord));
}

constexpr uint64_t edge_key(int32_t state, unsigned char byte) { return static_cast<uint64_t>(state) << 8 | byte; }

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), states_(1), root_(256, 0) {
  std::vector<std::vector<std::pair<unsigned char, int32_t>>> children(1);
  for (size_t t = 0; t < tokens_.size(); ++t) {
    const std::string& content = tokens_[t].content;
    int32_t state = 0;
    for (size_t i = content.size(); i-- > 0;) {
      const auto byte = static_cast<unsigned char>(content[i]);
      int32_t& next = state == 0 ? root_[byte] : edges_[edge_key(state, byte)];
      if (next == 0) {
        next = static_cast<int32_t>(states_.size());
        states_.emplace_back();
        children[static_cast<size_t>(state)].emplace_back(byte, next);
        children.emplace_back();
      }
      state = next;
    }
    if (states_[static_cast<size_t>(state)].token < 0)
      states_[static_cast<size_t>(state)].token = static_cast<int32_t>(t);
  }
  // Breadth first: failure links lead to states that are done.
  std::vector<int32_t> queue = {0};
  for (size_t i = 0; i < queue.size(); ++i) {
    const int32_t state = queue[i];
    for (const auto& [byte, child] : children[static_cast<size_t>(state)]) {
      State& at = states_[static_cast<size_t>(child)];
      at.fail = state == 0 ? 0 : step(states_[static_cast<size_t>(state)].fail, byte);
      if (at.token < 0) at.token = states_[static_cast<size_t>(at.fail)].token;
      queue.push_back(child);
    }
  }
}

int32_t AddedTokenFinder::step(int32_t state, unsigned char byte) const {
  for (; state != 0; state = states_[static_cast<size_t>(state)].fail) {
    if (const auto edge = edges_.find(edge_key(state, byte)); edge != edges_.end()) return edge->second;
  }
  return root_[byte];
}

std::vector<AddedTokenFinder::Match> AddedTokenFinder::longest_matches(std::string_view text,
                                                                       std::span<const TextSpan> plain) const {
  std::vector<Match> matches;
  int32_t state = 0;
  size_t next_plain = plain.size();  // the first that ends behind i
  for (size_t i = text.size(); i-- > 0;) {
    const auto byte = static_cast<unsigned char>(text[i]);
    state = state == 0 ? root_[byte] : step(state, byte);
    while (next_plain > 0 && plain[next_plain - 1].end > i) --next_plain;
    const size_t room = next_plain < plain.size() ? std::max(plain[next_plain].begin, i) - i : text.size() - i;
    int32_t token = states_[static_cast<size_t>(state)].token;
    // Shorter tokens that begin here stand along the failure links.
    for (int32_t shorter = state; token >= 0 && tokens_[static_cast<size_t>(token)].content.size() > room;) {
      shorter = states_[static_cast<size_t>(shorter)].fail;
      token = states_[static_cast<size_t>(shorter)].token;
    }
    if (token >= 0) matches.push_back({i, token});
  }
  std::reverse(matches.begin(), matches.end());
  return matches;
}

std::vector<AddedTokenFinder::Part> AddedTokenFinder::split(std::string_view text,
                                                            std::span<const TextSpan> plain) const {
  std::vector<Part> parts;
  size_t done = 0;       // where the text begins that is in no part yet
  size_t searched = 0;   // matches before this are behind the search
  size_t space_end = 0;  // a white space run that was measured ends here
  for (const Match& match : longest_matches(text, plain)) {
    if (match.begin < searched) continue;
    const AddedToken& token = tokens_[static_cast<size_t>(match.token)];
    size_t begin = match.begin, end = match.begin + token.content.size();
    searched = end;
    if (token.single_word && touches_word(text, begin, end)) continue;
    if (token.lstrip) {
      while (begin > done) {
        const size_t before = previous_character(text, begin);
        if (!character_is(text, before, kSpace)) break;
        begin = before;
      }
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      // A run that an earlier token has taken is not walked again.
      if (end < space_end) {
        end = space_end;
      } else {
        while (end < text.size() && character_is(text, end, kSpace))
          end += static_cast<size_t>(decode_utf8(text.substr(end)).length);
        space_end = end;
      }
    }
    // A token inside white space that its neighbour took already is still a token, as in the reference.
    if (done < begin) parts.push_back({done, begin, -1});
    parts.push_back({begin, end, match.token});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
  return parts;
}

}  // namespace duet
