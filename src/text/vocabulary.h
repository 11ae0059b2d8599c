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
  /// Adds a token and says true, or changes nothing and says false when the id or the spelling is taken. `ordinary`: it
  /// may come out of a text that has no added tokens.
  /// Precondition: 0 <= id < kMaxIds.
  bool add(int32_t id, std::string_view spelling, bool ordinary = true);
  /// -1 when absent.
  int32_t find(std::string_view spelling) const;
  /// Brings memory near that add() or find() will want a little later.
  // Inlined always: g++ 12 takes a function that only prefetches for one without effect and drops its calls.
  [[gnu::always_inline]] void prefetch(std::string_view spelling) const { prefetch_slot(hash_of(spelling)); }
  static constexpr size_t kAhead = 16;  // how many tokens before
  // In steps, so that many look-ups can wait for memory at the same time.
  static uint64_t hash_of(std::string_view spelling);
  int32_t find(std::string_view spelling, uint64_t hash) const {
    return slots_.empty() || spelling.size() > longest_ ? -1 : slots_[slot_of(spelling, hash)].id;
  }
  [[gnu::always_inline]] void prefetch_slot(uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[first_slot(hash)]);
  }
  [[gnu::always_inline]] void prefetch_spelling(uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(arena_.data() + slots_[first_slot(hash)].entry.begin);
  }
  /// -1 when absent or not ordinary.
  int32_t find_ordinary(std::string_view spelling) const {
    const int32_t id = find(spelling);
    return id >= 0 && ordinary(id) ? id : -1;
  }
  /// Precondition: 0 <= id < size().
  bool ordinary(int32_t id) const { return ordinary_[static_cast<size_t>(id)]; }
  bool has(int64_t id) const { return id >= 0 && id < size() && entries_[static_cast<size_t>(id)].length >= 0; }
  /// The spelling; empty for a hole. Precondition: 0 <= id < size(). Valid until the next add().
  std::string_view spelling(int32_t id) const;
  /// One more than the largest id.
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t tokens() const { return tokens_; }
  /// Bytes of the longest spelling.
  size_t longest() const { return longest_; }

 private:
  struct Entry {
    uint32_t begin = 0;
    int32_t length = -1;
  };
  struct Slot {
    uint32_t tag = 0;  // bits of the hash that the place does not tell
    int32_t id = -1;
    Entry entry;  // once more, which saves a way to memory
  };
  size_t first_slot(uint64_t hash) const { return static_cast<size_t>(hash >> 32) & (slots_.size() - 1); }
  size_t slot_of(std::string_view spelling, uint64_t hash) const;
  void rehash(size_t slots);

  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<bool> ordinary_;
  std::vector<Slot> slots_;  // id -1: empty; a power of two, at most half full
  size_t longest_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace duet
