#pragma once

#include <cstdint>
#include <vector>

#include "model/batch.h"
#include "model/spec.h"
#include "ops/context.h"
#include "ops/linear.h"

namespace duet {

/// cos and sin [T, R/2] of a batch's rows for each distinct RopeSpec of a model, made once per step.
struct RopeTables {
  struct Entry {
    Tensor cos, sin;
  };
  std::vector<Entry> entries;
};

/// Softmax attention with its projections: q, k, v > [norm of each head] > rope > state > attention > o.
struct Attention {
  AttentionMixer spec;
  size_t rope_table = 0;        // index into RopeTables
  DType kv_type = DType::kF32;  // of the state
  Linear q_proj, k_proj, v_proj, o_proj;
  Tensor q_norm, k_norm;  // [D], with spec.qk_norm
  float norm_eps = 0.0f;

  ///   x : [T, C] normed input;   add_to : [T, C] += the mixer's output
  void forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const Tensor& x,
               const Tensor& add_to) const;
};

}  // namespace duet
