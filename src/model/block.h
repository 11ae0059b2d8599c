#pragma once

#include <cstdint>

#include "model/attention.h"
#include "model/batch.h"
#include "model/mlp.h"
#include "ops/context.h"

namespace duet {

/// One pre-norm decoder layer:  h += mixer(norm(h));  h += ffn(norm(h)).  All families share it.
struct Block {
  Tensor input_norm;  // [C]
  Attention attention;
  Tensor post_attention_norm;  // [C]
  Mlp mlp;
  float norm_eps = 0.0f;

  ///   hidden : [T, C] f32, updated in place;   layer : index of this layer's state
  void forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const Tensor& hidden) const;
};

}  // namespace duet
