#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "model/attention.h"
#include "model/batch.h"
#include "model/spec.h"
#include "ops/context.h"
#include "ops/linear.h"
#include "state/state_layout.h"

namespace duet {

/// Gated DeltaNet with its projections: q, k, v > convolution > norms; gates > delta rule > gated norm > out
/// (equations.md 1.5).
struct DeltaNet {
  DeltaLayerLayout layout;
  Linear qkv_proj;        // [2 Hk Dk + Hv Dv, C]: Q | K | V
  Linear z_proj;          // [Hv Dv, C]
  Linear b_proj, a_proj;  // [Hv, C]
  Tensor conv;            // [channels, taps]
  Tensor decay, dt_bias;  // [Hv]: -exp(A_log), and what is added to a
  Tensor norm;            // [Dv]
  Linear out_proj;        // [C, Hv Dv]
  float norm_eps = 0.0f;

  /// Reads the tensors under `prefix` ("model.layers.0.linear_attn.").
  static DeltaNet load(WeightLoader& loader, const std::string& prefix, const GatedDeltaNetMixer& spec, float norm_eps);
  ///   x : [T, C] normed input;   add_to : [T, C] += the mixer's output
  void forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const LinearInput& x,
               const Tensor& add_to) const;
  /// Arena bytes of forward() for `rows` rows.
  static int64_t scratch_bytes(const GatedDeltaNetMixer& spec, int64_t rows);
  /// Calls visit for each matrix.
  void visit_weights(const std::function<void(const Linear& weight)>& visit) const;
};

/// What such a layer keeps of a sequence.
DeltaLayerLayout delta_layout(const GatedDeltaNetMixer& spec);

}  // namespace duet
