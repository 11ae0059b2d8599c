#include "model/attention.h"

#include <cmath>

#include "model/weights.h"
#include "ops/attention.h"
#include "ops/device.h"
#include "ops/rows.h"
#include "state/sequence_state.h"

namespace duet {
namespace {

/// Of each row 1 + scale ln(1 + floor((p + 1) / floor_tokens)).   [T]
Tensor temperature_factors(Ctx& ctx, const AttentionTemperature& temperature, const Batch& batch) {
  std::vector<float> factors;
  factors.reserve(batch.positions.size());
  for (const int32_t position : batch.positions) {
    const double floors = std::floor((static_cast<double>(position) + 1) / temperature.floor_tokens);
    factors.push_back(static_cast<float>(1 + temperature.scale * std::log1p(floors)));
  }
  return ops::upload(ctx, factors, {static_cast<int64_t>(factors.size())});
}

}  // namespace

Attention Attention::load(WeightLoader& loader, const std::string& prefix, const AttentionMixer& spec, float norm_eps) {
  Attention attention;
  attention.spec = spec;
  attention.norm_eps = norm_eps;
  attention.q_proj = loader.linear(prefix + "q_proj");
  if (spec.output_gate) attention.g_proj = loader.linear(prefix + "g_proj");
  attention.k_proj = loader.linear(prefix + "k_proj");
  attention.v_proj = loader.linear(prefix + "v_proj");
  attention.o_proj = loader.linear(prefix + "o_proj");
  if (spec.qk_norm == QkNorm::kWeightedBeforeRope) {
    attention.q_norm = loader.vector(prefix + "q_norm.weight");
    attention.k_norm = loader.vector(prefix + "k_norm.weight");
  } else if (spec.qk_norm == QkNorm::kWeightlessAfterRope) {
    attention.q_norm = attention.k_norm = loader.ones(spec.head_dim);
  }
  return attention;
}

void Attention::forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const LinearInput& x,
                        const Tensor& add_to) const {
  const int64_t mark = ctx.arena.mark();
  const int64_t rows = x.source.dim(0), heads = spec.heads, kv_heads = spec.kv_heads, dim = spec.head_dim;
  const Tensor q = ctx.scratch({rows, heads, dim});
  const Tensor k = ctx.scratch({rows, kv_heads, dim});
  const Tensor v = ctx.scratch({rows, kv_heads, dim});
  const Tensor flat_q = q.reshaped({rows, heads * dim}), flat_k = k.reshaped({rows, kv_heads * dim}),
               flat_v = v.reshaped({rows, kv_heads * dim});
  std::vector<std::span<std::byte* const>> pages;
  pages.reserve(batch.states.size());
  for (const SequenceState* state : batch.states) pages.push_back(state->pages(layer));
  const KvView kv{kv_type, kv_heads, dim, pages};
  const RowPlaces places{batch.sequence, batch.positions};
  const AttentionSpec visible{.scale = spec.scale, .window = spec.window, .chunk = spec.chunk};
  ops::expect_attention(ctx, kv, places, visible);
  Tensor gate;
  if (spec.output_gate) {
    gate = ctx.scratch({rows, heads * dim});
    ops::linear(ctx, x, {{q_proj, flat_q}, {g_proj, gate}, {k_proj, flat_k}, {v_proj, flat_v}});
  } else {
    ops::linear(ctx, x, {{q_proj, flat_q}, {k_proj, flat_k}, {v_proj, flat_v}});
  }
  HeadSteps steps;
  if (spec.qk_norm != QkNorm::kNone) steps.q_norm = q_norm, steps.k_norm = k_norm, steps.eps = norm_eps;
  steps.norm_after_rope = spec.qk_norm == QkNorm::kWeightlessAfterRope;
  if (spec.rope.dims > 0) steps.cos = rope.entries[rope_table].cos, steps.sin = rope.entries[rope_table].sin;
  if (spec.temperature) steps.q_factors = temperature_factors(ctx, *spec.temperature, batch);
  const Tensor mixed = ctx.scratch({rows, heads, dim});
  ops::attention(ctx, q, k, v, steps, kv, places, visible, mixed);
  const Tensor flat = mixed.reshaped({rows, heads * dim});
  if (spec.output_gate) ops::sigmoid_mul(ctx, flat, gate, flat);
  ops::linear(ctx, flat, o_proj, add_to, Epilogue::kAdd);
  ctx.arena.rewind(mark);
}

int64_t Attention::scratch_bytes(const AttentionMixer& spec, int64_t rows) {
  const auto f32 = [](Shape shape) { return Arena::footprint_bytes(DType::kF32, shape); };
  int64_t bytes = 2 * f32({rows, spec.heads, spec.head_dim}) + 2 * f32({rows, spec.kv_heads, spec.head_dim});
  if (spec.output_gate) bytes += f32({rows, spec.heads * spec.head_dim});
  if (spec.temperature) bytes += f32({rows});
  return bytes;
}

void Attention::visit_weights(const std::function<void(const Linear& weight)>& visit) const {
  for (const Linear* weight : {&q_proj, &g_proj, &k_proj, &v_proj, &o_proj}) {
    if (weight->weight) visit(*weight);
  }
}

}  // namespace duet
