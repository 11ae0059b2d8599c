#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/os_memory.h"

namespace duet {

/// The merges of a byte-pair encoding over symbols (numbers >= 0), and the rule: of all neighbours that merge, those of
/// the lowest rank first, the leftmost of equal ones. Immutable once built; thread-safe.
class Merges {
 public:
  struct Merge {
    uint32_t rank;
    int32_t product;
  };
  static constexpr uint32_t kNoMerge = UINT32_MAX;
  /// Up to this many symbols the plain scan beats the queue.
  static constexpr size_t kFew = 48;

  void reserve(size_t merges);
  /// A pair that is there already gets the new rank and product.
  void add(int32_t left, int32_t right, Merge merge);
  /// rank kNoMerge when the two do not merge.
  Merge find(int32_t left, int32_t right) const {
    if (static_cast<uint32_t>(left | right) < kDense) return dense_[static_cast<size_t>(left << 8 | right)];
    const uint64_t hash = hash_of(left, right);
    if (!maybe(hash)) return {kNoMerge, -1};
    const Slot* slot = &slots_[hash >> shift_];
    for (;;) {
      if (slot->left == left && slot->right == right) return slot->merge;
      if (slot->left < 0) return {kNoMerge, -1};
      if (++slot == slots_.data() + slots_.size()) slot = slots_.data();
    }
  }
  [[gnu::always_inline]] void prefetch(int32_t left, int32_t right) const {
    const uint64_t hash = hash_of(left, right);
    __builtin_prefetch(&slots_[hash >> shift_]);
    __builtin_prefetch(&filter_[(hash & filter_mask_) >> 6]);
  }
  size_t size() const { return used_; }
  /// Calls visit(left, right, merge) for each, in no order.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.left >= 0) visit(slot.left, slot.right, slot.merge);
    }
  }

  /// Merges `count` <= kFew symbols in place; returns how many are left. O(count^2), no memory taken.
  size_t apply_few(int32_t* symbols, size_t count) const;
  /// Merges any number of symbols in place. O(n log ranks).
  void apply_many(std::vector<int32_t>& symbols) const;

 private:
  struct Slot {
    int32_t left = -1;  // -1: empty
    int32_t right = -1;
    Merge merge{kNoMerge, -1};
  };
  class Queue;

  static uint64_t hash_of(int32_t left, int32_t right) {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    const uint64_t mixed = (key ^ (key >> 29)) * 0xbf58476d1ce4e5b9ULL;
    return (mixed ^ (mixed >> 32)) * 0x9e3779b97f4a7c15ULL;
  }
  /// Most pairs of neighbours do not merge: a small bit set says so without a way to the large table.
  bool maybe(uint64_t hash) const { return (filter_[(hash & filter_mask_) >> 6] >> (hash & 63) & 1) != 0; }
  void rehash(size_t slots);

  // Symbols below this are single bytes as a rule: most look-ups are for them, and go to a table that stays in cache.
  static constexpr uint32_t kDense = 256;
  std::vector<Merge> dense_ = std::vector<Merge>(kDense * kDense, Merge{kNoMerge, -1});
  std::vector<Slot, TableAllocator<Slot>> slots_{64};  // a power of two, at most half full
  int shift_ = 58;                                     // the high bits of a hash are its slot
  std::vector<uint64_t> filter_ = std::vector<uint64_t>(16);
  uint64_t filter_mask_ = 1023;
  size_t used_ = 0;
};

}  // namespace duet
