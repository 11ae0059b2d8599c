#include "model/mlp.h"

#include "ops/rows.h"

namespace duet {

void Mlp::forward(Ctx& ctx, const Tensor& x, const Tensor& add_to) const {
  const int64_t mark = ctx.arena.mark();
  const Tensor gate = ctx.scratch({x.dim(0), gate_proj.out_dim()});
  const Tensor up = ctx.scratch({x.dim(0), up_proj.out_dim()});
  ops::linear(ctx, x, {{gate_proj, gate}, {up_proj, up}});
  ops::silu_mul(ctx, gate, up, gate);
  ops::linear(ctx, gate, down_proj, add_to, Epilogue::kAdd);
  ctx.arena.rewind(mark);
}

}  // namespace duet
