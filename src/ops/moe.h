#pragma once

#include <optional>
#include <span>
#include <vector>

#include "backend/types.h"
#include "ops/linear.h"

namespace duet::ops {

/// The experts of each token: the k largest of its row of logits in falling order, the lowest id first among equals,
/// with their scores.   logits [T, E] f32, ids [T, k] i32, weights [T, k] f32, 1 <= k <= E
/// Scores (equations.md 1.6 and 4): softmax over all E, or over the chosen k (the same as dividing the former by their
/// sum), or the sigmoid of each. Numerics: computed in float64, rounded once.
void route_top_k(Ctx& ctx, const Tensor& logits, RouterScore score, const Tensor& ids, const Tensor& weights);

/// The same matrix of every expert, packed: the unit that grouped_linear() multiplies by.
struct ExpertLinear {
  std::vector<std::shared_ptr<const PackedWeight>> owned;  // [E], all [out, in] of one type
  std::vector<const PackedWeight*> experts;                // the same, as a span for the backend

  void add(std::shared_ptr<const PackedWeight> weight);
  int64_t out_dim() const { return experts.front()->rows(); }
  int64_t in_dim() const { return experts.front()->cols(); }
};

/// out[t, j] = x[t] W' or x[t, j] W' with W the expert ids[t, j]; where ids[t, j] is -1, out stays as it is.
///   x [T, in] or [T, k, in] f32, ids [T, k] i32 in [-1, E), out [T, k, out] f32; x and out do not overlap
/// Numerics: each row is computed as linear() computes it, whatever rows share its expert.
struct ExpertOutput {
  const ExpertLinear& layer;
  Tensor out;
};
void grouped_linear(Ctx& ctx, const Tensor& x, const Tensor& ids, std::initializer_list<ExpertOutput> outputs);

/// add_to[t] += sum_j weights[t, j] y[t, j]; without weights every one is 1.
///   y [T, k, C] f32, weights [T, k] or undefined, add_to [T, C]
/// Numerics: a float32 chain over ascending j, each product and each sum rounded, then one addition.
void mix_experts(Ctx& ctx, const Tensor& y, const Tensor& weights, const Tensor& add_to);

/// What mixture() multiplies by: SwiGLU of [E] experts, and of one that all tokens share, where there is one.
struct MixtureLayer {
  const ExpertLinear& gate;
  const ExpertLinear& up;
  const ExpertLinear& down;
  struct Shared {
    const Linear &gate, &up, &down;
  };
  std::optional<Shared> shared;
};
/// Where what lies between may be kept; holds rubbish afterwards.
struct MixtureRooms {
  Tensor gate, up;                // [T, k, F]
  Tensor down;                    // [T, k, C]; may be the input
  Tensor shared_gate, shared_up;  // [T, Fs], of a shared expert
};

/// grouped_linear() by gate and up, silu_mul(), grouped_linear() by down, mix_experts(), and then swiglu() of the
/// shared expert, in bits as these one after the other.
///   x [T, C] f32; input x or [T, k, C]: the rows of the experts' own; ids [T, k] i32 in [0, E); weights [T, k] or
///   undefined; row_gates [T, 1], of the shared expert's swiglu(), or undefined; add_to [T, C], not x
void mixture(Ctx& ctx, const Tensor& x, const Tensor& input, const Tensor& ids, const Tensor& weights,
             const MixtureLayer& layer, const Tensor& row_gates, const MixtureRooms& rooms, const Tensor& add_to);

}  // namespace duet::ops
