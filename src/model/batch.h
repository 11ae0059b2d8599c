#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/ids.h"
#include "tensor/tensor.h"

namespace duet {

class SequenceState;

/// Rows of all sequences in flight. Rows of one sequence stand in ascending order of position and continue its state.
struct Batch {
  std::span<const int32_t> ids;            // [T]
  std::span<const int32_t> positions;      // [T] absolute
  std::span<const int32_t> sequence;       // [T] index into states
  std::span<SequenceState* const> states;  // [S], each with pages reserved for its new rows
  /// [S]: the first position of each sequence that is a draft, which may turn out wrong; the end of its rows where none
  /// is. At most DeltaView::kMaxDraftTokens are drafts.
  std::span<const int32_t> certain_end;
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

/// Receives the residual stream [T, C] of a batch: index 0 after the embedding, i after layer i - 1.
using HiddenSink = std::function<void(int64_t index, const Tensor& hidden)>;

}  // namespace duet
