#include "engine/state_cache.h"

#include <algorithm>
#include <utility>

namespace duet {

void StateCache::keep(std::vector<TokenId> tokens, std::unique_ptr<SequenceState> state) {
  if (!state || state->length_tokens() == 0) return;
  if (entries_.size() == capacity_) entries_.erase(entries_.begin());
  entries_.push_back({std::move(tokens), std::move(state)});
}

std::unique_ptr<SequenceState> StateCache::take(std::span<const TokenId> tokens, int64_t max_tokens) {
  int64_t longest = 0;
  size_t best = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const auto& kept = entries_[i].tokens;
    const auto common = std::mismatch(kept.begin(), kept.end(), tokens.begin(), tokens.end()).first - kept.begin();
    const int64_t usable = std::min({static_cast<int64_t>(common), entries_[i].state->length_tokens(), max_tokens});
    if (usable > longest) longest = usable, best = i;
  }
  if (longest == 0) return nullptr;
  auto state = std::move(entries_[best].state);
  entries_.erase(entries_.begin() + static_cast<int64_t>(best));
  // Windows and recurrent layers can go on only where they have kept what that needs.
  return state->trim(longest) > 0 ? std::move(state) : nullptr;
}

}  // namespace duet
