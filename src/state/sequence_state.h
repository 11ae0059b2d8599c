#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/device.h"
#include "state/state_layout.h"

namespace duet {

/// The state of one sequence, layer by layer: a page table for attention, a block of bytes for Gated DeltaNet. What
/// forks and snapshots share is copied when one of them writes to it. A state and its forks are used by one thread.
class SequenceState {
 public:
  SequenceState(Device& device, const StateLayout& layout);
  SequenceState(SequenceState&&) = default;
  SequenceState& operator=(SequenceState&&) = default;

  /// Another sequence with the same tokens so far; nothing is copied yet.
  std::unique_ptr<SequenceState> fork() const;

  /// Tokens whose rows have been written by finished steps.
  int64_t length_tokens() const { return length_tokens_; }
  /// Makes room for positions below `tokens`, in memory of its own. Throws out_of_memory and then holds what it held.
  void reserve(int64_t tokens);
  /// A step has written rows up to `tokens` (at most what was reserved). Local layers let go of what no row sees any
  /// more.
  void advance_to(int64_t tokens);
  /// Keeps what is needed to go on from here, so that trim() can come back to it. The newest kMaxSnapshots are kept.
  void snapshot();
  /// Forgets everything from `position` on and returns the position kept, at most that: the caller recomputes the rest.
  /// With full attention only it is `position`; else the last place from which the layers can go on.
  int64_t trim(int64_t position);
  /// Page table of an attention layer, oldest first; nullptr where a local layer has let a page go.
  std::span<std::byte* const> pages(int64_t layer) const { return tables_[static_cast<size_t>(layer)]; }
  /// State of a Gated DeltaNet layer, once something was reserved.
  std::byte* recurrent(int64_t layer) const {
    return recurrent_->data() + layout_->recurrent_at(static_cast<size_t>(layer));
  }
  /// With its snapshots. What it shares with forks counts in full.
  int64_t bytes() const;

  static constexpr size_t kMaxSnapshots = 4;

 private:
  friend struct StateImage;  // state_file.cc: what it is made of, to a file and back
  using Page = std::shared_ptr<Buffer>;
  /// Pages of each group of layers: [groups][pages].
  using Pages = std::vector<std::vector<Page>>;
  /// What going on from `length_tokens`, or from any position down to `earliest`, needs beside the full layers' pages.
  struct Snapshot {
    int64_t length_tokens = 0, earliest = 0;
    Page recurrent;
    Pages local;  // of the groups; empty for the full ones
  };

  SequenceState(const SequenceState&) = default;
  Page copy_of(const Buffer& buffer) const;
  void place(size_t group, size_t index, Page page);
  void resize_tables(size_t count);
  /// The largest position up to `position` from which a sequence with these local pages can go on.
  int64_t resumable(int64_t position, int64_t earliest, const Pages& pages) const;

  Device* device_;
  const StateLayout* layout_;
  Pages pages_;
  std::vector<std::vector<std::byte*>> tables_;  // [L][pages]
  Page recurrent_;
  int64_t length_tokens_ = 0;
  int64_t earliest_ = 0;             // the lowest position but 0 to which the recurrent layers can go back
  std::vector<Snapshot> snapshots_;  // by length
};

}  // namespace duet
