#include "engine/memory_plan.h"

#include <algorithm>

#include "backend/limits.h"
#include "base/error.h"
#include "engine/engine.h"
#include "ops/context.h"
#include "state/sequence_state.h"

namespace duet {

MemoryPlan plan_memory(const ModelDescription& model, const MemoryPlanOptions& options) {
  const ModelSpec& spec = model.spec;
  if (options.context_tokens < 0 || options.context_tokens > spec.context_tokens) {
    fail(ErrorCode::kBadValue, "context size is {}, legal: 1 to the model's own {}", options.context_tokens,
         spec.context_tokens);
  }
  if (options.sequences < 1) fail(ErrorCode::kBadValue, "{} sequences, legal: 1 or more", options.sequences);
  check_kv_type(spec, options.arithmetic.kv_type);
  MemoryPlan plan;
  plan.context_tokens = options.context_tokens == 0 ? spec.context_tokens : options.context_tokens;
  plan.sequences = options.sequences;
  plan.weights = weight_parts(model, options.arithmetic.mtp, options.arithmetic.expert_slots);

  const StateLayout layout = state_layout(spec, options.arithmetic);
  const int64_t step_rows = std::min(EngineOptions{}.max_step_rows, plan.context_tokens);
  plan.recurrent_bytes = layout.recurrent_bytes();
  plan.kv_bytes = layout.bytes(plan.context_tokens, step_rows) - plan.recurrent_bytes;
  plan.snapshot_bytes =
      layout.snapshot_bytes(plan.context_tokens, step_rows, SequenceState::kMaxSnapshots, kSnapshotTokens);

  const int64_t head_rows = std::min(kHeadTileRows, plan.sequences);
  const int64_t arena = step_scratch_bytes(spec, distinct_ropes(spec, options.arithmetic.mtp), step_rows, head_rows);
  const int64_t arena_logits = Arena::footprint_bytes(DType::kF32, {head_rows, spec.vocabulary});
  const int64_t host_logits = head_rows * spec.vocabulary * static_cast<int64_t>(sizeof(float));
  plan.logits_bytes = arena_logits + host_logits;
  plan.scratch_bytes = arena - arena_logits + cpu_scratch_bytes(std::max(1, options.threads)) +
                       cpu_activation_bytes(widest_matrix(model));
  return plan;
}

}  // namespace duet
