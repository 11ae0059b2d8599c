#include "model/delta_net.h"

#include <cmath>

#include "model/weights.h"
#include "ops/delta_net.h"
#include "state/sequence_state.h"

namespace duet {
namespace {

constexpr float kL2Eps = 1e-6f;  // within the root, as the reference has it (equations.md 1.5)

}  // namespace

DeltaLayerLayout delta_layout(const GatedDeltaNetMixer& spec) {
  return {spec.key_heads, spec.value_heads, spec.key_dim, spec.value_dim, spec.conv_width, spec.key_head_of_value_head};
}

DeltaNet DeltaNet::load(WeightLoader& loader, const std::string& prefix, const GatedDeltaNetMixer& spec,
                        float norm_eps) {
  DeltaNet net;
  net.layout = delta_layout(spec);
  net.norm_eps = norm_eps;
  net.qkv_proj = loader.linear(prefix + "qkv_proj");
  net.z_proj = loader.linear(prefix + "z_proj");
  net.b_proj = loader.linear(prefix + "b_proj");
  net.a_proj = loader.linear(prefix + "a_proj");
  net.conv = loader.vector(prefix + "conv1d.weight");
  net.decay = loader.vector(prefix + "decay");
  net.dt_bias = loader.vector(prefix + "dt_bias");
  net.norm = loader.vector(prefix + "norm.weight");
  net.out_proj = loader.linear(prefix + "out_proj");
  return net;
}

void DeltaNet::forward(Ctx& ctx, const Batch& batch, int64_t layer, const RopeTables&, const LinearInput& x,
                       const Tensor& add_to) const {
  const int64_t mark = ctx.arena.mark();
  std::vector<std::byte*> states;
  states.reserve(batch.states.size());
  for (const SequenceState* state : batch.states) states.push_back(state->recurrent(layer));
  DeltaView view = layout.view();
  view.states = states;
  const RowPlaces places{batch.sequence, batch.positions};

  const int64_t rows = x.source.dim(0), heads = view.value_heads, width = heads * view.value_dim;
  const Tensor qkv = ctx.scratch({rows, view.channels()}), z = ctx.scratch({rows, width});
  const Tensor b = ctx.scratch({rows, heads}), a = ctx.scratch({rows, heads});
  ops::linear(ctx, x, {{qkv_proj, qkv}, {z_proj, z}, {b_proj, b}, {a_proj, a}});
  const Tensor convolved = ctx.scratch(qkv.shape), mixed = ctx.scratch({rows, heads, view.value_dim});
  DeltaSteps steps;
  steps.conv = conv;
  steps.decay = decay;
  steps.dt_bias = dt_bias;
  steps.norm = norm;
  steps.query_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(view.key_dim)));
  steps.l2_eps = kL2Eps;
  steps.norm_eps = norm_eps;
  ops::delta_mix(ctx, {qkv, z, a, b, convolved}, steps, view, places, batch.certain_end, mixed);
  ops::linear(ctx, mixed.reshaped({rows, width}), out_proj, add_to, Epilogue::kAdd);
  ctx.arena.rewind(mark);
}

int64_t DeltaNet::scratch_bytes(const GatedDeltaNetMixer& spec, int64_t rows) {
  const auto f32 = [](Shape shape) { return Arena::footprint_bytes(DType::kF32, shape); };
  const DeltaLayerLayout layout = delta_layout(spec);
  return 2 * f32({rows, layout.view().channels()}) + 2 * f32({rows, spec.value_heads * spec.value_dim}) +
         2 * f32({rows, spec.value_heads});
}

void DeltaNet::visit_weights(const std::function<void(const Linear& weight)>& visit) const {
  for (const Linear* weight : {&qkv_proj, &z_proj, &b_proj, &a_proj, &out_proj}) visit(*weight);
}

}  // namespace duet
