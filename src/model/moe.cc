#include "model/moe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/weights.h"
#include "ops/device.h"
#include "ops/rows.h"

namespace duet {

Moe Moe::load(WeightLoader& loader, const std::string& prefix, const MoeFfn& spec) {
  Moe moe;
  moe.spec = spec;
  moe.router = loader.linear(prefix + "router");
  const auto names = [&](const char* part) {
    std::vector<std::string> all;
    for (int64_t e = 0; e < spec.experts; ++e) all.push_back(fmt::format("{}experts.{}.{}", prefix, e, part));
    return all;
  };
  const auto load_experts = [&](const char* part, ops::ExpertLinear& experts) {
    for (auto& weight : loader.alike(names(part))) experts.add(std::move(weight));
  };
  if (loader.has_expert_slots()) {
    moe.slots = loader.slots({names("gate_proj"), names("up_proj"), names("down_proj")});
  } else {
    load_experts("gate_proj", moe.gate_proj);
    load_experts("up_proj", moe.up_proj);
    load_experts("down_proj", moe.down_proj);
  }
  if (spec.shared_dim > 0) moe.shared = Mlp::load(loader, prefix + "shared_expert.");
  if (spec.shared_gate) moe.shared_gate = loader.linear(prefix + "shared_expert_gate");
  return moe;
}

const ops::ExpertLinear& Moe::part(size_t index) const {
  if (slots) return slots->part(index);
  return index == 0 ? gate_proj : index == 1 ? up_proj : down_proj;
}

void Moe::forward(Ctx& ctx, const LinearInput& given, const Tensor& add_to) const {
  const int64_t mark = ctx.arena.mark();
  const Tensor x = ops::rows_of(ctx, given);
  const int64_t rows = x.dim(0), hidden = x.dim(1), top_k = spec.top_k, dim = spec.expert_dim;
  const Tensor logits = ctx.scratch({rows, spec.experts});
  const Tensor ids = ctx.arena.carve(DType::kI32, {rows, top_k});
  const Tensor weights = ctx.scratch({rows, top_k});
  Tensor row_gates;
  if (spec.shared_gate) {
    row_gates = ctx.scratch({rows, 1});
    ops::linear(ctx, x, {{router, logits}, {shared_gate, row_gates}});
  } else {
    ops::linear(ctx, x, router, logits);
  }
  ops::route_top_k(ctx, logits, spec.score, ids, weights);

  const Tensor y = ctx.scratch({rows, top_k, hidden});
  Tensor input = x;
  if (spec.scale_input) {  // y holds the scaled inputs until the experts' outputs replace them
    ops::scale_rows(ctx, x, weights, y);
    input = y;
  }
  const Tensor factors = spec.scale_input ? Tensor{} : weights;
  const Tensor gate = ctx.scratch({rows, top_k, dim}), up = ctx.scratch({rows, top_k, dim});
  if (slots) {
    const Tensor places = ctx.arena.carve(DType::kI32, {rows, top_k});
    std::vector<int32_t> chosen(static_cast<size_t>(rows * top_k));
    ops::download_ids(ctx, ids, chosen);
    slots->run(chosen, [&](std::span<const int32_t> pass) {
      ops::upload_ids(ctx, pass, places);
      ops::grouped_linear(ctx, input, places, {{part(0), gate}, {part(1), up}});
      ops::silu_mul(ctx, gate, up, gate);
      ops::grouped_linear(ctx, gate, places, {{part(2), y}});
    });
    ops::mix_experts(ctx, y, factors, add_to);
    if (spec.shared_dim > 0) shared.forward(ctx, x, add_to, row_gates);
  } else {
    ops::MixtureLayer layer{part(0), part(1), part(2), {}};
    ops::MixtureRooms rooms{gate, up, y, {}, {}};
    if (spec.shared_dim > 0) {
      layer.shared.emplace(ops::MixtureLayer::Shared{shared.gate_proj, shared.up_proj, shared.down_proj});
      rooms.shared_gate = ctx.scratch({rows, spec.shared_dim});
      rooms.shared_up = ctx.scratch({rows, spec.shared_dim});
    }
    ops::mixture(ctx, x, input, ids, factors, layer, row_gates, rooms, add_to);
  }
  ctx.arena.rewind(mark);
}

int64_t Moe::scratch_bytes(const MoeFfn& spec, int64_t hidden, int64_t rows) {
  const auto f32 = [](Shape shape) { return Arena::footprint_bytes(DType::kF32, shape); };
  const int64_t routed = f32({rows, spec.experts}) + 3 * f32({rows, spec.top_k}) + f32({rows, spec.top_k, hidden}) +
                         2 * f32({rows, spec.top_k, spec.expert_dim});
  return routed + f32({rows, 1}) + Mlp::scratch_bytes(spec.shared_dim, rows);
}

void Moe::visit_weights(const std::function<void(const Linear& weight)>& visit,
                        const std::function<void(const ops::ExpertLinear& weights)>& visit_experts) const {
  visit(router);
  for (size_t i = 0; i < ExpertSlots::kParts; ++i) visit_experts(part(i));
  if (spec.shared_dim > 0) shared.visit_weights(visit);
  if (spec.shared_gate) visit(shared_gate);
}

}  // namespace duet
