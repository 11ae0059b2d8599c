#include "text/merges.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>
#include <unordered_map>

namespace duet {

void Merges::rehash(size_t slots) {
  const std::vector<Slot, TableAllocator<Slot>> old = std::move(slots_);
  slots_.assign(slots, Slot{});
  shift_ = 64 - std::countr_zero(slots);
  filter_.assign(slots / 8, 0);  // 8 bits a slot
  filter_mask_ = slots * 8 - 1;
  used_ = 0;
  for (const Slot& slot : old) {
    if (slot.left >= 0) add(slot.left, slot.right, slot.merge);
  }
}

void Merges::reserve(size_t merges) {
  size_t slots = 128;
  while (slots < merges * 2) slots *= 2;
  if (slots > slots_.size()) rehash(slots);
}

void Merges::add(int32_t left, int32_t right, Merge merge) {
  if ((used_ + 1) * 2 > slots_.size()) rehash(slots_.size() * 2);
  const uint64_t hash = hash_of(left, right);
  filter_[(hash & filter_mask_) >> 6] |= uint64_t{1} << (hash & 63);
  size_t at = hash >> shift_;
  while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right)) {
    at = (at + 1) & (slots_.size() - 1);
  }
  if (slots_[at].left < 0) ++used_;
  slots_[at] = {left, right, merge};
  if (static_cast<uint32_t>(left | right) < kDense) dense_[static_cast<size_t>(left << 8 | right)] = merge;
}

size_t Merges::apply_few(int32_t* symbol, size_t count) const {
  if (count < 2) return count;
  uint32_t rank[kFew];  // rank[i] joins symbols i and i + 1
  int32_t product[kFew];
  const auto look = [&](size_t i) {
    const Merge merge = find(symbol[i], symbol[i + 1]);
    rank[i] = merge.rank;
    product[i] = merge.product;
  };
  for (size_t i = 0; i + 1 < count; ++i) look(i);
  for (;;) {
    size_t best = 0;
    uint32_t lowest = rank[0];
    for (size_t i = 1; i + 1 < count; ++i) {
      if (rank[i] < lowest) lowest = rank[i], best = i;
    }
    if (lowest == kNoMerge) return count;
    symbol[best] = product[best];
    if (--count == 1) return count;
    for (size_t i = best + 1; i < count; ++i) symbol[i] = symbol[i + 1];
    for (size_t i = best; i + 1 < count; ++i) rank[i] = rank[i + 1], product[i] = product[i + 1];
    if (best > 0) look(best - 1);
    if (best + 1 < count) look(best);
  }
}

/// The symbols as a linked list, and for each rank that occurs the places where it waits.
class Merges::Queue {
 public:
  Queue(const Merges& merges, std::vector<int32_t>& symbols)
      : merges_(merges), symbol_(symbols), next_(symbols.size()), previous_(symbols.size()) {
    const auto count = static_cast<uint32_t>(symbols.size());
    for (uint32_t i = 0; i < count; ++i) {
      next_[i] = i + 1 < count ? i + 1 : kEnd;
      previous_[i] = i == 0 ? kEnd : i - 1;
      if (i + 1 < count) propose(i, i + 1);
    }
  }

  void merge_all() {
    while (!ranks_.empty()) {
      const uint32_t rank = ranks_.top();
      Places& places = waiting_[rank];
      if (places.empty()) {
        ranks_.pop();
        waiting_.erase(rank);
        continue;
      }
      const uint32_t left = places.take();
      const uint32_t right = symbol_[left] < 0 ? kEnd : next_[left];
      if (right == kEnd) continue;
      const Merge merge = merges_.find(symbol_[left], symbol_[right]);
      if (merge.rank != rank) continue;  // a neighbour has changed since
      symbol_[left] = merge.product;
      symbol_[right] = -1;
      next_[left] = next_[right];
      if (next_[left] != kEnd) {
        previous_[next_[left]] = left;
        propose(left, next_[left]);
      }
      if (previous_[left] != kEnd) propose(previous_[left], left);
    }
  }

 private:
  static constexpr uint32_t kEnd = UINT32_MAX;

  /// Places in ascending order: they mostly arrive so; the others go to a heap.
  struct Places {
    std::vector<uint32_t> ordered;
    size_t taken = 0;
    std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> late;

    bool empty() const { return taken == ordered.size() && late.empty(); }
    void put(uint32_t place) {
      if (taken == ordered.size()) {
        ordered.clear();
        taken = 0;
      }
      if (ordered.empty() || ordered.back() <= place) {
        ordered.push_back(place);
      } else {
        late.push(place);
      }
    }
    uint32_t take() {
      if (taken == ordered.size() || (!late.empty() && late.top() < ordered[taken])) {
        const uint32_t place = late.top();
        late.pop();
        return place;
      }
      return ordered[taken++];
    }
  };

  void propose(uint32_t left, uint32_t right) {
    const uint32_t rank = merges_.find(symbol_[left], symbol_[right]).rank;
    if (rank == kNoMerge) return;
    const auto [at, is_new] = waiting_.try_emplace(rank);
    if (is_new) ranks_.push(rank);
    at->second.put(left);
  }

  const Merges& merges_;
  std::vector<int32_t>& symbol_;  // -1: swallowed by the symbol to the left
  std::vector<uint32_t> next_, previous_;
  std::unordered_map<uint32_t, Places> waiting_;
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ranks_;
};

void Merges::apply_many(std::vector<int32_t>& symbols) const {
  if (symbols.size() <= kFew) {
    symbols.resize(apply_few(symbols.data(), symbols.size()));
    return;
  }
  Queue(*this, symbols).merge_all();
  symbols.erase(std::remove(symbols.begin(), symbols.end(), -1), symbols.end());
}

}  // namespace duet
