#pragma once

#include <cstdint>

#include "model/footprint.h"

namespace duet {

struct MemoryPlanOptions {
  int64_t context_tokens = 0;  // of each sequence; 0 = the model's own
  int64_t sequences = 1;       // in flight at the same time
  int threads = 1;
  DecoderOptions arithmetic;
};

/// The memory of a model at work on the CPU backend, by the sums that the allocators use.
struct MemoryPlan {
  int64_t context_tokens = 0, sequences = 1;
  WeightParts weights;
  // Of one sequence that fills its context:
  int64_t kv_bytes = 0;         // keys and values
  int64_t recurrent_bytes = 0;  // Gated DeltaNet
  int64_t snapshot_bytes = 0;   // where it can go on from, at most
  // Of a step:
  int64_t scratch_bytes = 0;  // the arena, without its logits; the backend's buffers
  int64_t logits_bytes = 0;   // in the arena and for the sampler

  /// What SequenceState::bytes() is then.
  int64_t sequence_bytes() const { return kv_bytes + recurrent_bytes; }
  int64_t state_bytes() const { return sequences * (sequence_bytes() + snapshot_bytes); }
  int64_t total() const { return weights.total() + state_bytes() + scratch_bytes + logits_bytes; }
};

/// Reads no weights. Throws bad_value (context_tokens above the model's own, sequences below 1), unsupported_feature (a
/// type of keys and values that the model's heads cannot have).
MemoryPlan plan_memory(const ModelDescription& model, const MemoryPlanOptions& options);

}  // namespace duet
