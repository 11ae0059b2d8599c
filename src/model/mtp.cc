#include "model/mtp.h"

#include "model/weights.h"
#include "ops/rows.h"

namespace duet {

Mtp Mtp::load(WeightLoader& loader, const LayerSpec& spec, float norm_eps) {
  Mtp mtp;
  mtp.norm_eps = norm_eps;
  mtp.embed_norm = loader.vector("mtp.embed_norm.weight");
  mtp.hidden_norm = loader.vector("mtp.hidden_norm.weight");
  mtp.norm = loader.vector("mtp.norm.weight");
  mtp.fc = loader.linear("mtp.fc");
  mtp.layer = Block::load(loader, "mtp.layers.0.", spec, norm_eps);
  return mtp;
}

void Mtp::forward(Ctx& ctx, const Batch& batch, int64_t layer_state, const RopeTables& rope, const Tensor& embedded,
                  const Tensor& hidden, const Tensor& out) const {
  const int64_t mark = ctx.arena.mark();
  const int64_t rows = hidden.dim(0), width = hidden.dim(1);
  const Tensor e = ctx.scratch(hidden.shape), h = ctx.scratch(hidden.shape), x = ctx.scratch(hidden.shape);
  const Tensor joined = ctx.scratch({rows, 2 * width});
  ops::rms_norm(ctx, embedded, embed_norm, norm_eps, e);
  ops::rms_norm(ctx, hidden, hidden_norm, norm_eps, h);
  ops::join_columns(ctx, e, h, joined);
  ops::linear(ctx, joined, fc, x);
  layer.forward(ctx, batch, layer_state, rope, x);
  ops::rms_norm(ctx, x, norm, norm_eps, out);
  ctx.arena.rewind(mark);
}

int64_t Mtp::scratch_bytes(const LayerSpec& spec, int64_t hidden, int64_t rows) {
  const auto f32 = [](Shape shape) { return Arena::footprint_bytes(DType::kF32, shape); };
  return 3 * f32({rows, hidden}) + f32({rows, 2 * hidden}) + Block::scratch_bytes(spec, hidden, rows);
}

}  // namespace duet
