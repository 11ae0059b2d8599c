#include "model/mlp.h"

#include "model/weights.h"

namespace duet {

Mlp Mlp::load(WeightLoader& loader, const std::string& prefix) {
  Mlp mlp;
  mlp.gate_proj = loader.linear(prefix + "gate_proj");
  mlp.up_proj = loader.linear(prefix + "up_proj");
  mlp.down_proj = loader.linear(prefix + "down_proj");
  return mlp;
}

void Mlp::forward(Ctx& ctx, const LinearInput& x, const Tensor& add_to, const Tensor& row_gate) const {
  const int64_t mark = ctx.arena.mark();
  const Tensor gate = ctx.scratch({x.source.dim(0), gate_proj.out_dim()});
  const Tensor up = ctx.scratch({x.source.dim(0), up_proj.out_dim()});
  ops::swiglu(ctx, x, gate_proj, up_proj, down_proj, row_gate, /*gate_room=*/gate, /*up_room=*/up, add_to);
  ctx.arena.rewind(mark);
}

int64_t Mlp::scratch_bytes(int64_t ffn_dim, int64_t rows) {
  return 2 * Arena::footprint_bytes(DType::kF32, {rows, ffn_dim});
}

void Mlp::visit_weights(const std::function<void(const Linear& weight)>& visit) const {
  for (const Linear* weight : {&gate_proj, &up_proj, &down_proj}) visit(*weight);
}

}  // namespace duet
