#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/os_memory.h"

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
  bool add(int32_t id, std::string_view spelling, bool ordinary = true) {
    return add(id, spelling, ordinary, hash_of(spelling));
  }
  /// The same where hash_of(spelling) is known.
  bool add(int32_t id, std::string_view spelling, bool ordinary, uint64_t hash);
  /// -1 when absent.
  int32_t find(std::string_view spelling) const;
  /// Brings memory near that add() or find() will want a little later.
  // Inlined always: g++ 12 takes a function that only prefetches for one without effect and drops its calls.
  [[gnu::always_inline]] void prefetch(std::string_view spelling) const { prefetch_slot(hash_of(spelling)); }
  static constexpr size_t kAhead = 32;  // how many tokens before
  // In steps, so that many look-ups can wait for memory at the same time.
  static uint64_t hash_of(std::string_view spelling) {
    constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
    const char* at = spelling.data();
    size_t left = spelling.size();
    uint64_t hash = left * kOdd;
    const auto mix = [&](uint64_t word) {
      hash = (hash ^ word) * kOdd;
      hash ^= hash >> 32;
    };
    for (; left > 8; at += 8, left -= 8) mix(load<uint64_t>(at));
    // Loads of a fixed size that overlap: memcpy() of a few bytes would be a call.
    if (left >= 4) {
      mix(static_cast<uint64_t>(load<uint32_t>(at)) << 32 | load<uint32_t>(at + left - 4));
    } else if (left > 0) {
      mix(load<uint8_t>(at) | load<uint8_t>(at + left / 2) << 8 | load<uint8_t>(at + left - 1) << 16);
    }
    return hash * kOdd;
  }
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
  /// Bytes of all spellings.
  size_t bytes() const { return arena_.size(); }
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
  template <typename T>
  static T load(const char* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
  }
  /// Whether two texts of `size` bytes are equal: they are short as a rule, and memcmp() would be a call.
  static bool same(const char* a, const char* b, size_t size) {
    if (size < 4) {
      return size == 0 || (a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1]);
    }
    if (size < 8) {
      return load<uint32_t>(a) == load<uint32_t>(b) && load<uint32_t>(a + size - 4) == load<uint32_t>(b + size - 4);
    }
    size_t i = 0;
    for (; i + 8 < size; i += 8) {
      if (load<uint64_t>(a + i) != load<uint64_t>(b + i)) return false;
    }
    return load<uint64_t>(a + size - 8) == load<uint64_t>(b + size - 8);
  }
  size_t first_slot(uint64_t hash) const { return static_cast<size_t>(hash >> 32) & (slots_.size() - 1); }
  size_t slot_of(std::string_view spelling, uint64_t hash) const;
  void rehash(size_t slots);

  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<bool> ordinary_;
  std::vector<Slot, TableAllocator<Slot>> slots_;  // id -1: empty; a power of two, at most half full
  size_t longest_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace duet
