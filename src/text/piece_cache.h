#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace duet {

/// What short pieces of a text became: words come again and again. One call's own, so that threads share nothing and
/// memory stays bounded; a place that is taken is taken over.
class PieceCache {
 public:
  static constexpr size_t kMaxBytes = 15;
  static constexpr size_t kMaxIds = 3;

  /// `text`: what the pieces are taken from as a rule; a larger one gets a larger cache.
  explicit PieceCache(std::string_view text) : end_(text.data() + text.size()), begin_(text.data()) {
    while (bits_ < 15 && (size_t{64} << bits_) < text.size()) ++bits_;
  }

  /// The piece as two words: its bytes, zeros, and in the last byte its length.
  struct Key {
    uint64_t low, high;
  };
  /// Precondition: 1 <= piece.size() <= kMaxBytes.
  Key key_of(std::string_view piece) const {
    const size_t n = piece.size();
    uint64_t word[2] = {0, 0};
    if (piece.data() >= begin_ && piece.data() <= end_ && static_cast<size_t>(end_ - piece.data()) >= sizeof word) {
      std::memcpy(word, piece.data(), sizeof word);
      // Bytes of a word are little-endian here; on another machine the key is another one, but as good.
      word[0] &= n >= 8 ? UINT64_MAX : (uint64_t{1} << (8 * n)) - 1;
      word[1] &= n <= 8 ? 0 : (uint64_t{1} << (8 * (n - 8))) - 1;
    } else {
      std::memcpy(word, piece.data(), n);
    }
    return {word[0], word[1] | static_cast<uint64_t>(n) << 56};
  }

  /// Appends the ids and says true when the piece is known.
  bool append(const Key& key, std::vector<TokenId>& out) {
    if (entries_.empty()) entries_.resize(size_t{1} << bits_);
    const Entry& entry = entries_[slot_of(key)];
    if (entry.key.low != key.low || entry.key.high != key.high) return false;
    out.push_back(entry.ids[0]);
    for (uint32_t i = 1; i < entry.count; ++i) out.push_back(entry.ids[i]);
    return true;
  }
  void store(const Key& key, std::span<const TokenId> ids) {
    if (ids.empty() || ids.size() > kMaxIds) return;
    Entry& entry = entries_[slot_of(key)];
    entry.key = key;
    entry.count = static_cast<uint32_t>(ids.size());
    std::copy(ids.begin(), ids.end(), entry.ids);
  }

 private:
  struct alignas(32) Entry {
    Key key{0, 0};  // no piece: its length is 0
    TokenId ids[kMaxIds] = {};
    uint32_t count = 0;
  };
  size_t slot_of(const Key& key) const {
    uint64_t hash = key.low * 0x9e3779b97f4a7c15ULL;
    hash = (hash ^ (hash >> 32) ^ key.high) * 0xc2b2ae3d27d4eb4fULL;
    return (hash ^ (hash >> 29)) * 0x9e3779b97f4a7c15ULL >> (64 - bits_);
  }

  const char *end_, *begin_;
  int bits_ = 4;
  std::vector<Entry> entries_;
};

}  // namespace duet
