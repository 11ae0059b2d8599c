#pragma once

#include <functional>
#include <string>

#include "model/spec.h"
#include "ops/context.h"
#include "ops/linear.h"

namespace duet {

class WeightLoader;

/// down(silu(gate(x)) * up(x)) (Shazeer 2020, SwiGLU).
struct Mlp {
  Linear gate_proj, up_proj, down_proj;

  /// Reads the tensors under `prefix` ("model.layers.0.mlp.").
  static Mlp load(WeightLoader& loader, const std::string& prefix);
  ///   x : [T, C] normed input;   add_to : [T, C] += the output;   row_gate : [T, 1] or undefined, the output times its
  ///   sigmoid
  void forward(Ctx& ctx, const LinearInput& x, const Tensor& add_to, const Tensor& row_gate = {}) const;
  /// Arena bytes of forward() for `rows` rows of an inner size `ffn_dim`.
  static int64_t scratch_bytes(int64_t ffn_dim, int64_t rows);
  void visit_weights(const std::function<void(const Linear& weight)>& visit) const;
};

}  // namespace duet
