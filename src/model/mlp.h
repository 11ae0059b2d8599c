#pragma once

#include "model/spec.h"
#include "ops/context.h"
#include "ops/linear.h"

namespace duet {

/// down(silu(gate(x)) * up(x)) (Shazeer 2020, SwiGLU).
struct Mlp {
  Linear gate_proj, up_proj, down_proj;

  ///   x : [T, C] normed input;   add_to : [T, C] += the output
  void forward(Ctx& ctx, const Tensor& x, const Tensor& add_to) const;
};

}  // namespace duet
