#include "model/block.h"

#include "ops/rows.h"

namespace duet {

void Block::forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const Tensor& hidden) const {
  const int64_t mark = ctx.arena.mark();
  const Tensor x = ctx.scratch(hidden.shape);  // [T, C]
  ops::rms_norm(ctx, hidden, input_norm, norm_eps, x);
  attention.forward(ctx, batch, layer, rope, x, /*add_to=*/hidden);
  ops::rms_norm(ctx, hidden, post_attention_norm, norm_eps, x);
  mlp.forward(ctx, x, /*add_to=*/hidden);
  ctx.arena.rewind(mark);
}

}  // namespace duet
