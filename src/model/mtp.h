#pragma once

#include <cstdint>

#include "model/block.h"

namespace duet {

/// The head that predicts one token further (multi-token prediction; equations.md 1.7). Slot i of a sequence joins the
/// token of position i + 1 with the trunk's row of position i:
///   x_i = fc [ embed_norm(embedding of t_{i+1}) ; hidden_norm(h_i) ],  y = norm(layer(x)),  logits = head(y)
/// and predicts t_{i+2}. Embedding and head are the trunk's; the layer keeps keys and values of its own.
struct Mtp {
  Tensor embed_norm, hidden_norm, norm;  // [C]
  Linear fc;                             // [C, 2C]
  Block layer;
  float norm_eps = 0.0f;

  /// Reads the tensors under "mtp.".
  static Mtp load(WeightLoader& loader, const LayerSpec& spec, float norm_eps);
  ///   embedded : [T, C] embeddings of the next tokens;   hidden : [T, C] the trunk's rows after its final norm;
  ///   layer_state : index of the layer's state;   out : [T, C] y
  void forward(Ctx& ctx, const Batch& batch, int64_t layer_state, const RopeTables& rope, const Tensor& embedded,
               const Tensor& hidden, const Tensor& out) const;
  /// Arena bytes of forward() for `rows` rows of `hidden` values.
  static int64_t scratch_bytes(const LayerSpec& spec, int64_t hidden, int64_t rows);
};

}  // namespace duet
