#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "backend/types.h"

namespace duet {

/// What an attention layer keeps: keys and values, in pages, of every token or, where its queries see a window or a
/// chunk only, of those that a coming row can see.
struct KvLayerLayout {
  DType dtype = DType::kF32;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0, chunk = 0;  // as AttentionSpec has them

  bool is_local() const { return window > 0 || chunk > 0; }
  int64_t page_bytes() const { return KvView{dtype, kv_heads, head_dim, {}}.page_bytes(); }
  /// The first position that a sequence of `tokens` still needs: its last kMaxDraftTokens may be dropped again.
  int64_t first_needed(int64_t tokens) const;
  bool operator==(const KvLayerLayout&) const = default;
};

/// What a Gated DeltaNet layer keeps: a fixed number of bytes.
struct DeltaLayerLayout {
  int64_t key_heads = 0, value_heads = 0;
  int64_t key_dim = 0, value_dim = 0;
  int64_t conv_width = 0;
  std::vector<int32_t> key_head_of_value_head;  // [value_heads]

  /// Without states; refers to this layout.
  DeltaView view() const;
  int64_t bytes() const { return view().state_bytes(); }
};

using LayerLayout = std::variant<KvLayerLayout, DeltaLayerLayout>;

/// What a model keeps of a sequence, layer by layer. Attention layers that see the same keep their pages together.
class StateLayout {
 public:
  /// Attention layers with one reach; page i of all of them lies in one allocation.
  struct PageGroup {
    KvLayerLayout reach;         // the first of them
    std::vector<size_t> layers;  // in ascending order
    int64_t page_bytes = 0;      // of one page of all of them
  };

  StateLayout() = default;
  explicit StateLayout(std::vector<LayerLayout> layers);

  const std::vector<LayerLayout>& layers() const { return layers_; }
  const std::vector<PageGroup>& groups() const { return groups_; }
  /// Bytes of all Gated DeltaNet layers together.
  int64_t recurrent_bytes() const { return recurrent_bytes_; }
  /// Where the state of a DeltaNet layer begins in them.
  int64_t recurrent_at(size_t layer) const { return recurrent_at_[layer]; }
  /// Whether a sequence can be cut at every position without having kept a snapshot there.
  bool trims_anywhere() const;

  /// Bytes of a sequence of `tokens` that arrived in steps of `step_rows`: whole pages, the local ones that a step
  /// needs.
  int64_t bytes(int64_t tokens, int64_t step_rows = 1) const;
  /// Bytes that up to `most` snapshots, one every `spacing` tokens and one at any place, hold beside the sequence's
  /// own, at most: recurrent states, and local pages that the sequence has let go of or has copied.
  int64_t snapshot_bytes(int64_t tokens, int64_t step_rows, int64_t most, int64_t spacing) const;
  /// Bytes that every further token takes, a page's share.
  int64_t token_bytes() const;

 private:
  std::vector<LayerLayout> layers_;
  std::vector<PageGroup> groups_;
  std::vector<int64_t> recurrent_at_;
  int64_t recurrent_bytes_ = 0;
};

}  // namespace duet
