#include "model/block.h"

#include <algorithm>

#include "model/weights.h"
#include "ops/linear.h"

namespace duet {

Block Block::load(WeightLoader& loader, const std::string& prefix, const LayerSpec& spec, float norm_eps) {
  Block block;
  block.norm_eps = norm_eps;
  block.input_norm = loader.vector(prefix + "input_layernorm.weight");
  if (const auto* attention = std::get_if<AttentionMixer>(&spec.mixer)) {
    block.mixer = Attention::load(loader, prefix + "self_attn.", *attention, norm_eps);
  } else {
    block.mixer = DeltaNet::load(loader, prefix + "linear_attn.", std::get<GatedDeltaNetMixer>(spec.mixer), norm_eps);
  }
  block.post_attention_norm = loader.vector(prefix + "post_attention_layernorm.weight");
  if (const auto* moe = std::get_if<MoeFfn>(&spec.ffn)) {
    block.ffn = Moe::load(loader, prefix + "mlp.", *moe);
  } else {
    block.ffn = Mlp::load(loader, prefix + "mlp.");
  }
  return block;
}

void Block::forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const Tensor& hidden) const {
  const int64_t mark = ctx.arena.mark();
  const Tensor room = ctx.scratch(hidden.shape);  // [T, C]
  const LinearInput mixed = ops::normed(hidden, input_norm, norm_eps, room);
  std::visit([&](const auto& m) { m.forward(ctx, batch, layer, rope, mixed, /*add_to=*/hidden); }, mixer);
  const LinearInput x = ops::normed(hidden, post_attention_norm, norm_eps, room);
  std::visit([&](const auto& f) { f.forward(ctx, x, /*add_to=*/hidden); }, ffn);
  ctx.arena.rewind(mark);
}

int64_t Block::scratch_bytes(const LayerSpec& spec, int64_t hidden, int64_t rows) {
  const auto* attention = std::get_if<AttentionMixer>(&spec.mixer);
  const int64_t mixer = attention != nullptr ? Attention::scratch_bytes(*attention, rows)
                                             : DeltaNet::scratch_bytes(std::get<GatedDeltaNetMixer>(spec.mixer), rows);
  const auto* moe = std::get_if<MoeFfn>(&spec.ffn);
  const int64_t ffn = moe != nullptr ? Moe::scratch_bytes(*moe, hidden, rows)
                                     : Mlp::scratch_bytes(std::get<DenseFfn>(spec.ffn).ffn_dim, rows);
  return Arena::footprint_bytes(DType::kF32, {rows, hidden}) + std::max(mixer, ffn);
}

}  // namespace duet
