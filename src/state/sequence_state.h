#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/device.h"
#include "backend/types.h"

namespace duet {

/// What one layer keeps of a sequence: keys and values of every token (paged).
struct KvLayerLayout {
  DType dtype = DType::kF32;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t page_bytes() const { return KvView{dtype, kv_heads, head_dim, {}}.page_bytes(); }
};

/// What a model keeps of a sequence, layer by layer.
struct StateLayout {
  std::vector<KvLayerLayout> layers;
  /// Bytes of one page of 64 tokens over all layers.
  int64_t page_bytes() const;
  /// Bytes of a sequence of `tokens`: whole pages.
  int64_t bytes(int64_t tokens) const;
};

/// The state of one sequence: a page table per layer. Page i of every layer lies in one allocation, which forks share
/// until one of them writes to it. A state and its forks are used by one thread.
class SequenceState {
 public:
  SequenceState(Device& device, const StateLayout& layout);
  SequenceState(SequenceState&&) = default;
  SequenceState& operator=(SequenceState&&) = default;

  /// Another sequence with the same tokens so far; no page is copied yet.
  std::unique_ptr<SequenceState> fork() const;

  /// Tokens whose rows have been written by finished steps.
  int64_t length_tokens() const { return length_tokens_; }
  /// Makes room for positions below `tokens`, in pages of its own. Throws out_of_memory and then holds what it held.
  void reserve(int64_t tokens);
  /// A step has written rows up to `tokens` (at most what was reserved).
  void advance_to(int64_t tokens);
  /// Forgets everything from `position` on and returns the position kept: the caller recomputes the rest.
  int64_t trim(int64_t position);
  /// Page table of one layer, oldest first.
  std::span<std::byte* const> pages(int64_t layer) const { return tables_[static_cast<size_t>(layer)]; }
  /// Shared pages count in full.
  int64_t bytes() const;

 private:
  SequenceState(const SequenceState&) = default;
  /// A new page at `index`, with what the one there holds or empty.
  void set_page(size_t index, bool copied);

  Device* device_;
  const StateLayout* layout_;
  std::vector<std::shared_ptr<Buffer>> pages_;
  std::vector<std::vector<std::byte*>> tables_;  // [L][pages]
  int64_t length_tokens_ = 0;
};

}  // namespace duet
