#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/batch.h"
#include "model/spec.h"
#include "ops/context.h"
#include "ops/linear.h"

namespace duet {

class WeightLoader;

/// cos and sin [T, R/2] of a batch's rows for each distinct RopeSpec of a model, made once per step.
struct RopeTables {
  struct Entry {
    Tensor cos, sin;
  };
  std::vector<Entry> entries;
};

/// Softmax attention with its projections: q, k, v > [norm of each head] > rope > [norm, temperature] > state >
/// attention > [gate] > o.
struct Attention {
  AttentionMixer spec;
  size_t rope_table = 0;        // index into RopeTables, where spec.rope rotates at all
  DType kv_type = DType::kF32;  // of the state
  Linear q_proj, k_proj, v_proj, o_proj;
  Linear g_proj;          // with spec.output_gate
  Tensor q_norm, k_norm;  // [D], with spec.qk_norm; ones where it has no weight
  float norm_eps = 0.0f;

  /// Reads the tensors under `prefix` ("model.layers.0.self_attn.").
  static Attention load(WeightLoader& loader, const std::string& prefix, const AttentionMixer& spec, float norm_eps);
  ///   x : [T, C] normed input;   add_to : [T, C] += the mixer's output
  void forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const LinearInput& x,
               const Tensor& add_to) const;
  /// Arena bytes of forward() for `rows` rows.
  static int64_t scratch_bytes(const AttentionMixer& spec, int64_t rows);
  /// Calls visit for each matrix.
  void visit_weights(const std::function<void(const Linear& weight)>& visit) const;
};

}  // namespace duet
