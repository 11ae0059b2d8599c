#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "model/attention.h"
#include "model/batch.h"
#include "model/delta_net.h"
#include "model/mlp.h"
#include "model/moe.h"
#include "ops/context.h"

namespace duet {

/// One pre-norm decoder layer:  h += mixer(norm(h));  h += ffn(norm(h)).  All families share it.
struct Block {
  Tensor input_norm;  // [C]
  std::variant<Attention, DeltaNet> mixer;
  Tensor post_attention_norm;  // [C]
  std::variant<Mlp, Moe> ffn;
  float norm_eps = 0.0f;

  /// Reads the tensors under `prefix` ("model.layers.0.").
  static Block load(WeightLoader& loader, const std::string& prefix, const LayerSpec& spec, float norm_eps);
  ///   hidden : [T, C] f32, updated in place;   layer : index of this layer's state
  void forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const Tensor& hidden) const;
  /// Arena bytes of forward() for `rows` rows of `hidden` values.
  static int64_t scratch_bytes(const LayerSpec& spec, int64_t hidden, int64_t rows);
};

}  // namespace duet
