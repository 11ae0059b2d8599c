#include "model/attention.h"

#include "ops/attention.h"
#include "ops/rows.h"
#include "state/sequence_state.h"

namespace duet {

void Attention::forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables& rope, const Tensor& x,
                        const Tensor& add_to) const {
  const int64_t mark = ctx.arena.mark();
  const int64_t rows = x.dim(0), heads = spec.heads, kv_heads = spec.kv_heads, dim = spec.head_dim;
  const Tensor q = ctx.scratch({rows, heads, dim});
  const Tensor k = ctx.scratch({rows, kv_heads, dim});
  const Tensor v = ctx.scratch({rows, kv_heads, dim});
  ops::linear(ctx, x,
              {{q_proj, q.reshaped({rows, heads * dim})},
               {k_proj, k.reshaped({rows, kv_heads * dim})},
               {v_proj, v.reshaped({rows, kv_heads * dim})}});
  if (spec.qk_norm) {
    ops::rms_norm(ctx, q, q_norm, norm_eps, q);
    ops::rms_norm(ctx, k, k_norm, norm_eps, k);
  }
  const RopeTables::Entry& table = rope.entries[rope_table];
  ops::rope(ctx, q, table.cos, table.sin);
  ops::rope(ctx, k, table.cos, table.sin);

  std::vector<std::span<std::byte* const>> pages;
  pages.reserve(batch.states.size());
  for (const SequenceState* state : batch.states) pages.push_back(state->pages(layer));
  const KvView kv{kv_type, kv_heads, dim, pages};
  const RowPlaces places{batch.sequence, batch.positions};
  ops::kv_write(ctx, k, v, kv, places);
  const Tensor mixed = ctx.scratch({rows, heads, dim});
  ops::attention(ctx, q, kv, places, {.scale = spec.scale, .window = spec.window}, mixed);
  ops::linear(ctx, mixed.reshaped({rows, heads * dim}), o_proj, add_to, Epilogue::kAdd);
  ctx.arena.rewind(mark);
}

}  // namespace duet
