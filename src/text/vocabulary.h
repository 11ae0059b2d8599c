#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// Ids and spellings, both ways: one arena, offsets and an open-addressing table, because loading 250k tokens is on the
/// way to the first token. Ids may have holes.
class Vocabulary {
 public:
  /// Ids must be below this: four million tokens are an order of magnitude more than any model has.
  static constexpr int64_t kMaxIds = int64_t{1} << 22;

  /// Room for `tokens` tokens with `bytes` bytes of spelling in all.
  void reserve(size_t tokens, size_t bytes);
  /// Adds a token and says true, or changes nothing and says false when the id or the spelling is taken.
  /// Precondition: 0 <= id < kMaxIds.
  bool add(int32_t id, std::string_view spelling);
  /// -1 when absent.
  int32_t find(std::string_view spelling) const;
  bool has(int64_t id) const { return id >= 0 && id < size() && entries_[static_cast<size_t>(id)].length >= 0; }
  /// The spelling; empty for a hole. Precondition: 0 <= id < size(). Valid until the next add().
  std::string_view spelling(int32_t id) const;
  /// One more than the largest id.
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t tokens() const { return tokens_; }

 private:
  struct Entry {
    uint32_t begin = 0;
    int32_t length = -1;
  };
  size_t slot_of(std::string_view spelling) const;
  void rehash(size_t slots);

  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<int32_t> slots_;  // ids, -1 empty; a power of two, at most half full
  int64_t tokens_ = 0;
};

}  // namespace duet
