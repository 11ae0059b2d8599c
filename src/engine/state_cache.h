#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "state/sequence_state.h"

namespace duet {

/// States of the last finished requests, so that the next turn of a conversation recomputes only what is new. By the
/// row law a reused state gives the same bits as a fresh one.
class StateCache {
 public:
  explicit StateCache(size_t capacity = 4) : capacity_(capacity) {}

  /// Keeps the state of `tokens` (of which state->length_tokens() are in it); the oldest goes when there are too many.
  void keep(std::vector<TokenId> tokens, std::unique_ptr<SequenceState> state);
  /// The state with the longest prefix in common with `tokens`, trimmed to it and to at most `max_tokens`; nullptr when
  /// there is none of at least one token.
  std::unique_ptr<SequenceState> take(std::span<const TokenId> tokens, int64_t max_tokens);

  struct Entry {
    std::vector<TokenId> tokens;
    std::unique_ptr<SequenceState> state;
  };
  /// What was kept last; nullptr: nothing is.
  const Entry* newest() const { return entries_.empty() ? nullptr : &entries_.back(); }

 private:
  size_t capacity_;
  std::vector<Entry> entries_;  // oldest first
};

}  // namespace duet
