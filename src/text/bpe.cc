#include "text/bpe.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <string>
#include <unordered_map>

#include "text/byte_level.h"

namespace duet {
namespace {

/// Up to here the plain scan beats the queue.
constexpr size_t kShortPiece = 48;

}  // namespace

ByteBpe::ByteBpe(const Vocabulary& vocabulary, const Options& options) : vocabulary_(vocabulary), options_(options) {
  for (int b = 0; b < 256; ++b) byte_token_[b] = vocabulary.find(spell_byte(static_cast<unsigned char>(b)));
}

size_t ByteBpe::slot_of(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = static_cast<size_t>((key * 0x9e3779b97f4a7c15ULL) >> 32) & mask;  // Fibonacci hashing
  while (slots_[slot].key != kEmpty && slots_[slot].key != key) slot = (slot + 1) & mask;
  return slot;
}

void ByteBpe::rehash(size_t slots) {
  const std::vector<Slot> old = std::move(slots_);
  slots_.assign(slots, Slot{kEmpty, {kNoMerge, -1}});
  for (const Slot& slot : old) {
    if (slot.key != kEmpty) slots_[slot_of(slot.key)] = slot;
  }
}

void ByteBpe::reserve(size_t merges) {
  size_t slots = 64;
  while (slots < merges * 2) slots *= 2;
  if (slots > slots_.size()) rehash(slots);
}

ByteBpe::MergeFault ByteBpe::add_merge(std::string_view left, std::string_view right) {
  const int32_t left_id = vocabulary_.find(left);
  if (left_id < 0) return MergeFault::kLeft;
  const int32_t right_id = vocabulary_.find(right);
  if (right_id < 0) return MergeFault::kRight;
  product_.assign(left).append(right);
  const int32_t product = vocabulary_.find(product_);
  if (product < 0) return MergeFault::kProduct;
  if ((used_ + 1) * 2 > slots_.size()) rehash(slots_.empty() ? 64 : slots_.size() * 2);
  Slot& slot = slots_[slot_of(key_of(left_id, right_id))];
  if (slot.key == kEmpty) ++used_;
  slot = {key_of(left_id, right_id), {merges_++, product}};
  return MergeFault::kNone;
}

ByteBpe::Merge ByteBpe::find(int32_t left, int32_t right) const {
  if (slots_.empty()) return {kNoMerge, -1};
  return slots_[slot_of(key_of(left, right))].merge;  // an empty slot holds kNoMerge
}

void ByteBpe::start(std::string_view piece, std::vector<int32_t>& symbols) const {
  symbols.clear();
  symbols.reserve(piece.size());
  bool fuse = false;
  for (const char c : piece) {
    const int32_t id = byte_token_[static_cast<unsigned char>(c)];
    if (id >= 0) {
      symbols.push_back(id);
    } else if (options_.unknown >= 0 && !fuse) {
      symbols.push_back(options_.unknown);
    }
    fuse = id < 0 && options_.fuse_unknown;
  }
}

/// The symbols of a piece as a linked list, and for each rank that occurs the places where it waits.
class ByteBpe::LongPiece {
 public:
  LongPiece(const ByteBpe& model, std::vector<int32_t>& symbols)
      : model_(model), symbol_(symbols), next_(symbols.size()), previous_(symbols.size()) {
    const auto count = static_cast<uint32_t>(symbols.size());
    for (uint32_t i = 0; i < count; ++i) {
      next_[i] = i + 1;
      previous_[i] = i == 0 ? kEnd : i - 1;
      if (i + 1 < count) propose(i, i + 1);
    }
    if (count > 0) next_[count - 1] = kEnd;
  }

  void merge_all() {
    while (!ranks_.empty()) {
      const uint32_t rank = ranks_.top();
      Places& places = waiting_[rank];
      if (places.empty()) {
        ranks_.pop();
        places.queued = false;
        continue;
      }
      const uint32_t left = places.take();
      const uint32_t right = symbol_[left] < 0 ? kEnd : next_[left];
      if (right == kEnd) continue;
      const Merge merge = model_.find(symbol_[left], symbol_[right]);
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

  void append_to(std::vector<TokenId>& out) const {
    for (const int32_t id : symbol_) {
      if (id >= 0) out.push_back(TokenId{id});
    }
  }

 private:
  static constexpr uint32_t kEnd = UINT32_MAX;

  /// Places in ascending order: they mostly arrive so; the others go to a heap.
  struct Places {
    std::vector<uint32_t> ordered;
    size_t taken = 0;
    std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> late;
    bool queued = false;

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
    const uint32_t rank = model_.find(symbol_[left], symbol_[right]).rank;
    if (rank == kNoMerge) return;
    Places& places = waiting_[rank];
    if (!places.queued) {
      places.queued = true;
      ranks_.push(rank);
    }
    places.put(left);
  }

  const ByteBpe& model_;
  std::vector<int32_t>& symbol_;  // -1: swallowed by the symbol to the left
  std::vector<uint32_t> next_, previous_;
  std::unordered_map<uint32_t, Places> waiting_;
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ranks_;
};

void ByteBpe::encode(std::string_view piece, std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    if (const int32_t id = vocabulary_.find(spell_bytes(piece)); id >= 0) {
      out.push_back(TokenId{id});
      return;
    }
  }
  if (piece.size() > kShortPiece) {
    std::vector<int32_t> symbols;
    start(piece, symbols);
    LongPiece long_piece(*this, symbols);
    long_piece.merge_all();
    long_piece.append_to(out);
    return;
  }
  int32_t symbol[kShortPiece];
  Merge merge[kShortPiece];  // merge[i] joins symbols i and i + 1
  static thread_local std::vector<int32_t> symbols;
  start(piece, symbols);
  size_t count = symbols.size();
  std::copy(symbols.begin(), symbols.end(), symbol);
  for (size_t i = 0; i + 1 < count; ++i) merge[i] = find(symbol[i], symbol[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merge[i].rank < merge[best].rank) best = i;
    }
    if (merge[best].rank == kNoMerge) break;
    symbol[best] = merge[best].product;
    std::copy(symbol + best + 2, symbol + count, symbol + best + 1);
    std::copy(merge + best + 1, merge + count - 1, merge + best);
    --count;
    if (best > 0) merge[best - 1] = find(symbol[best - 1], symbol[best]);
    if (best + 1 < count) merge[best] = find(symbol[best], symbol[best + 1]);
  }
  for (size_t i = 0; i < count; ++i) out.push_back(TokenId{symbol[i]});
}

}  // namespace duet
