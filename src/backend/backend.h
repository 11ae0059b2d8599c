#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "backend/device.h"
#include "backend/types.h"
#include "tensor/tensor.h"

namespace duet {

/// One device's implementation of the ops (src/ops has the contracts and checks shapes; only it calls these).
/// Row law: row t of a result depends on its own inputs and its sequence's state only, in an order of operations fixed
/// by absolute positions and shapes, never on T, threads or neighbours. Spans of host data are copied before a call
/// returns. Activations are float32. All are noexcept: arguments were checked.
class Backend : public Device {
 public:
  virtual std::string_view name() const = 0;
  /// Names the arithmetic of all ops, with its version: under one name the same inputs give the same bits, and states
  /// lie in memory alike. What changes a bit changes the version.
  virtual std::string_view arithmetic() const = 0;
  /// body(0) to body(count - 1), each once, on the host's threads that it computes with. body must not throw.
  virtual void on_threads(int64_t count, const std::function<void(int64_t i)>& body) noexcept;
  /// Reads and packs a weight matrix. Throws what source.read_rows throws, and out_of_memory.
  virtual std::unique_ptr<PackedWeight> pack(const WeightSource& source) = 0;

  // Packed forms outside of the backend (model/packed_cache.h).
  /// Names the layout of packed weights, with its version: under one name a source has one packed form, which takes
  /// packed_bytes().
  virtual std::string packed_layout() const = 0;
  /// The weight that pack() would make, from its packed form; source.read_rows is not used. Throws what `read` throws,
  /// out_of_memory, bad_dtype, bad_shape.
  virtual std::unique_ptr<PackedWeight> restore(const WeightSource& source, const PackedReader& read) = 0;
  /// Bytes from `begin` of the packed form.
  virtual void copy_packed(const PackedWeight& weight, int64_t begin, std::span<std::byte> out) noexcept = 0;
  /// Where the host may write the packed form itself while no queued work reads it; empty: copy_to_packed() alone does.
  virtual std::span<std::byte> packed_memory(PackedWeight& weight) noexcept = 0;
  /// Replaces bytes from `begin` of the packed form, after all work queued before.
  virtual void copy_to_packed(PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes) noexcept = 0;

  /// out[t] = row ids[t] of table.   ids [T], out [T, C]
  virtual void embed_rows(const PackedWeight& table, std::span<const int32_t> ids, Tensor out) noexcept = 0;
  /// Every term's product of the same x [T, in]; at most kMaxLinearTerms. Terms do not see each other.
  virtual void linear(Tensor x, std::span<const LinearTerm> terms) noexcept = 0;
  /// The same of rows that may have to be made first.
  virtual void linear_of(const LinearInput& input, std::span<const LinearTerm> terms) noexcept;
  /// down of silu_mul() of the products of gate and up, times sigmoid(row_gates [T, 1]) where these are defined.
  /// gate.out and up.out, whose epilogues are kNone, are room. down.out may be input.source where that is normed: a row
  /// is read before it is written.
  virtual void swiglu(const LinearInput& input, const LinearTerm& gate, const LinearTerm& up, const LinearTerm& down,
                      Tensor row_gates) noexcept;
  /// ids [T, k] i32, weights [T, k]: the k largest of each row of logits [T, E], in falling order, the lowest id first
  /// among equals, and their scores.
  virtual void route_top_k(Tensor logits, RouterScore score, Tensor ids, Tensor weights) noexcept = 0;
  /// out[t, j] = x[t or t, j] W', W the expert ids[t, j]; nothing where ids[t, j] is below 0.   x [T, in] or [T, k,
  /// in], ids [T, k], out [T, k, out]
  virtual void grouped_linear(Tensor x, Tensor ids, std::span<const GroupedTerm> terms) noexcept = 0;
  /// add_to[t] += sum_j weights[t, j] y[t, j], j ascending.   y [T, k, C], weights [T, k] or undefined = all 1
  virtual void mix_experts(Tensor y, Tensor weights, Tensor add_to) noexcept = 0;
  /// swiglu() of each token's experts, mix_experts() of these, then swiglu() of the shared expert.
  virtual void mixture(const Mixture& m) noexcept;
  /// out = x sigmoid(gate).   x, out [T, n] (may be the same), gate [T, n] or [T, 1]
  virtual void sigmoid_mul(Tensor x, Tensor gate, Tensor out) noexcept = 0;
  /// out[t, j] = factors[t, j] x[t].   x [T, n], factors [T, k], out [T, k, n] (may be x where k = 1)
  virtual void scale_rows(Tensor x, Tensor factors, Tensor out) noexcept = 0;
  /// out[t] = a[t], then b[t].   a [T, m], b [T, n], out [T, m + n]
  virtual void join_columns(Tensor a, Tensor b, Tensor out) noexcept = 0;
  /// out = x / sqrt(mean(x^2) + eps) * weight per row of n.   x, out [..., n] (may be the same), weight [n]
  virtual void rms_norm(Tensor x, Tensor weight, float eps, Tensor out) noexcept = 0;
  /// Rotates pairs (i, i + R/2), i < R/2, of each head in place: x' = (a c - b s, b c + a s).   x [T, H, D], cos, sin
  /// [T, R/2]
  virtual void rope(Tensor x, Tensor cos, Tensor sin) noexcept = 0;
  /// out = silu(gate) * up.   all [T, F]; out may be gate
  virtual void silu_mul(Tensor gate, Tensor up, Tensor out) noexcept = 0;
  /// A hint: attend() of these rows comes after the next linear(), which may bring near what it touches. No result
  /// depends on it.
  virtual void expect_attention(const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec) noexcept;
  /// Stores k, v [T, Hk, D], rounded once to the pages' type.
  virtual void kv_write(Tensor k, Tensor v, const KvView& kv, const RowPlaces& rows) noexcept = 0;
  /// rms_norm() of the heads and rope() of q [T, H, D] and k in place, and q's factors, as `steps` has them;
  /// kv_write().
  virtual void enter_heads(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv,
                           const RowPlaces& rows) noexcept;
  /// Softmax attention of q [T, H, D] over the keys of each row's sequence up to its own position; query head h reads
  /// kv head h Hk / H. Tiles of P keys anchored at position 0, merged in ascending order.   out [T, H, D]
  virtual void attention(Tensor q, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec,
                         Tensor out) noexcept = 0;
  /// enter_heads(), then attention(): what a layer does between its products.
  virtual void attend(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv, const RowPlaces& rows,
                      const AttentionSpec& spec, Tensor out) noexcept;
  /// out[i] = x[rows[i]].   x [T, C], out [N, C]
  virtual void select_rows(Tensor x, std::span<const int32_t> rows, Tensor out) noexcept = 0;

  // Gated DeltaNet (ops/delta_net.h).
  /// out = silu(causal convolution of each channel); keeps x for later steps.   x, out [T, channels], weight [channels,
  /// conv_width]
  virtual void causal_conv1d(Tensor x, Tensor weight, const DeltaView& delta, const RowPlaces& rows,
                             Tensor out) noexcept = 0;
  /// g = decay softplus(a + dt_bias), beta = sigmoid(b).   a, b, g, beta [T, Hv], decay, dt_bias [Hv]
  virtual void delta_gates(Tensor a, Tensor b, Tensor decay, Tensor dt_bias, Tensor g, Tensor beta) noexcept = 0;
  /// Columns [column, column + heads dim) of x [T, n] in place: each head x / sqrt(sum x^2 + eps) scale.
  virtual void l2_norm(Tensor x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) noexcept = 0;
  /// The gated delta rule over convolved rows [T, Q | K | V] with q and k normalised.   out [T, Hv, Dv]
  virtual void delta_net(Tensor qkv, Tensor g, Tensor beta, const DeltaView& delta, const RowPlaces& rows,
                         std::span<const int32_t> certain_end, Tensor out) noexcept = 0;
  /// out = x / sqrt(mean(x^2) + eps) * weight * silu(z) per head.   x, out [T, Hv, Dv] (may be the same), weight [Dv]
  virtual void gated_rms_norm(Tensor x, Tensor z, Tensor weight, float eps, Tensor out) noexcept = 0;
  /// All of these, as `steps` has them: what lies between a layer's projections.   out [T, Hv, Dv]
  virtual void delta_mix(const DeltaInput& input, const DeltaSteps& steps, const DeltaView& delta,
                         const RowPlaces& rows, std::span<const int32_t> certain_end, Tensor out) noexcept;
};

inline void Backend::on_threads(int64_t count, const std::function<void(int64_t)>& body) noexcept {
  for (int64_t i = 0; i < count; ++i) body(i);
}
inline void Backend::linear_of(const LinearInput& input, std::span<const LinearTerm> terms) noexcept {
  if (!input.norm.defined()) return linear(input.source, terms);
  rms_norm(input.source, input.norm, input.eps, input.room);
  linear(input.room, terms);
}
inline void Backend::swiglu(const LinearInput& input, const LinearTerm& gate, const LinearTerm& up,
                            const LinearTerm& down, Tensor row_gates) noexcept {
  const LinearTerm terms[] = {gate, up};
  linear_of(input, terms);
  silu_mul(gate.out, up.out, gate.out);
  if (row_gates.defined()) sigmoid_mul(gate.out, row_gates, gate.out);
  linear(gate.out, {&down, 1});
}
inline void Backend::mixture(const Mixture& m) noexcept {
  const GroupedTerm gate_and_up[] = {m.gate, m.up};
  grouped_linear(m.input, m.ids, gate_and_up);
  silu_mul(m.gate.out, m.up.out, m.gate.out);
  grouped_linear(m.gate.out, m.ids, {&m.down, 1});
  mix_experts(m.down.out, m.weights, m.add_to);
  if (m.shared) swiglu(m.x, (*m.shared)[0], (*m.shared)[1], (*m.shared)[2], m.row_gates);
}
inline void Backend::enter_heads(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv,
                                 const RowPlaces& rows) noexcept {
  const auto norm = [&] {
    if (!steps.q_norm.defined()) return;
    rms_norm(q, steps.q_norm, steps.eps, q);
    rms_norm(k, steps.k_norm, steps.eps, k);
  };
  if (!steps.norm_after_rope) norm();
  if (steps.cos.defined()) {
    rope(q, steps.cos, steps.sin);
    rope(k, steps.cos, steps.sin);
  }
  if (steps.norm_after_rope) norm();
  if (steps.q_factors.defined()) {
    const int64_t count = q.dim(0), width = q.dim(1) * q.dim(2);
    scale_rows(q.reshaped({count, width}), steps.q_factors.reshaped({count, 1}), q.reshaped({count, 1, width}));
  }
  kv_write(k, v, kv, rows);
}
inline void Backend::attend(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv,
                            const RowPlaces& rows, const AttentionSpec& spec, Tensor out) noexcept {
  enter_heads(q, k, v, steps, kv, rows);
  attention(q, kv, rows, spec, out);
}
inline void Backend::expect_attention(const KvView&, const RowPlaces&, const AttentionSpec&) noexcept {}
inline void Backend::delta_mix(const DeltaInput& input, const DeltaSteps& steps, const DeltaView& delta,
                               const RowPlaces& rows, std::span<const int32_t> certain_end, Tensor out) noexcept {
  delta_gates(input.a, input.b, steps.decay, steps.dt_bias, /*g=*/input.a, /*beta=*/input.b);
  causal_conv1d(input.qkv, steps.conv, delta, rows, input.convolved);
  l2_norm(input.convolved, 0, delta.key_heads, delta.key_dim, steps.l2_eps, steps.query_scale);
  l2_norm(input.convolved, delta.keys_column(), delta.key_heads, delta.key_dim, steps.l2_eps, 1.0f);
  delta_net(input.convolved, /*g=*/input.a, /*beta=*/input.b, delta, rows, certain_end, out);
  gated_rms_norm(out, input.z, steps.norm, steps.norm_eps, out);
}

}  // namespace duet
