#include "ops/delta_net.h"

#include "backend/backend.h"
#include "backend/sequence_rows.h"
#include "base/check.h"

namespace duet::ops {
namespace {

void check_delta(const DeltaView& delta, const RowPlaces& rows, int64_t count) {
  DUET_CHECK(delta.key_heads > 0 && delta.value_heads > 0 && delta.key_dim > 0 && delta.value_dim > 0);
  DUET_CHECK(delta.key_dim <= DeltaView::kMaxKeyDim);
  DUET_CHECK(delta.conv_width >= 1 && delta.conv_width <= DeltaView::kMaxConvWidth);
  DUET_CHECK(static_cast<int64_t>(delta.key_head_of_value_head.size()) == delta.value_heads);
  for (const int32_t head : delta.key_head_of_value_head) DUET_CHECK(head >= 0 && head < delta.key_heads);
  DUET_CHECK(static_cast<int64_t>(rows.sequence.size()) == count);
  DUET_CHECK(static_cast<int64_t>(rows.position.size()) == count);
  for (const int32_t sequence : rows.sequence) {
    DUET_CHECK(sequence >= 0 && sequence < static_cast<int32_t>(delta.states.size()));
  }
  for (size_t s = 0; s < delta.states.size(); ++s) {
    const SequenceRows own = rows_of(rows, static_cast<int64_t>(s));
    if (own.empty()) continue;
    DUET_CHECK(own.begin >= 0);
    for (int64_t p = own.begin, t = own.first_row; p + 1 < own.end; ++p) {
      t = next_row(rows, t);
      DUET_CHECK(rows.position[static_cast<size_t>(t)] == p + 1);
    }
  }
}

void check_conv(const Tensor& x, const Tensor& weight, const DeltaView& delta, const Tensor& out) {
  DUET_CHECK((x.shape == Shape{x.dim(0), delta.channels()} && x.shape == out.shape && x.data != out.data));
  DUET_CHECK((weight.shape == Shape{delta.channels(), delta.conv_width}));
}

void check_gates(const Tensor& a, const Tensor& b, const Tensor& decay, const Tensor& dt_bias) {
  DUET_CHECK(a.shape.rank() == 2 && a.shape == b.shape);
  DUET_CHECK((decay.shape == Shape{a.dim(1)} && dt_bias.shape == Shape{a.dim(1)}));
}

void check_rule(const Tensor& qkv, const Tensor& g, const Tensor& beta, const DeltaView& delta, const RowPlaces& rows,
                std::span<const int32_t> certain_end, const Tensor& out) {
  const int64_t count = qkv.dim(0);
  DUET_CHECK((qkv.shape == Shape{count, delta.channels()} && qkv.data != out.data));
  DUET_CHECK((g.shape == Shape{count, delta.value_heads} && beta.shape == g.shape));
  DUET_CHECK((out.shape == Shape{count, delta.value_heads, delta.value_dim}));
  check_delta(delta, rows, count);
  DUET_CHECK(certain_end.size() == delta.states.size());
  for (size_t s = 0; s < delta.states.size(); ++s) {
    const SequenceRows own = rows_of(rows, static_cast<int64_t>(s));
    if (own.empty()) continue;
    DUET_CHECK(certain_end[s] >= own.begin && certain_end[s] <= own.end);
    DUET_CHECK(own.end - certain_end[s] <= DeltaView::kMaxDraftTokens);
  }
}

void check_gated_norm(const Tensor& x, const Tensor& z, const Tensor& weight, const Tensor& out) {
  DUET_CHECK(x.shape.rank() == 3 && x.shape == out.shape && z.elements() == x.elements() && z.data != out.data);
  DUET_CHECK((weight.shape == Shape{x.dim(2)}));
}

}  // namespace

void causal_conv1d(Ctx& ctx, const Tensor& x, const Tensor& weight, const DeltaView& delta, const RowPlaces& rows,
                   const Tensor& out) {
  check_conv(x, weight, delta, out);
  check_delta(delta, rows, x.dim(0));
  ctx.backend.causal_conv1d(x, weight, delta, rows, out);
}

void delta_gates(Ctx& ctx, const Tensor& a, const Tensor& b, const Tensor& decay, const Tensor& dt_bias,
                 const Tensor& g, const Tensor& beta) {
  check_gates(a, b, decay, dt_bias);
  DUET_CHECK(a.shape == g.shape && a.shape == beta.shape && g.data != beta.data);
  ctx.backend.delta_gates(a, b, decay, dt_bias, g, beta);
}

void l2_norm(Ctx& ctx, const Tensor& x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) {
  DUET_CHECK(x.shape.rank() == 2 && column >= 0 && heads >= 0 && dim > 0 && column + heads * dim <= x.dim(1));
  ctx.backend.l2_norm(x, column, heads, dim, eps, scale);
}

void delta_net(Ctx& ctx, const Tensor& qkv, const Tensor& g, const Tensor& beta, const DeltaView& delta,
               const RowPlaces& rows, std::span<const int32_t> certain_end, const Tensor& out) {
  check_rule(qkv, g, beta, delta, rows, certain_end, out);
  ctx.backend.delta_net(qkv, g, beta, delta, rows, certain_end, out);
}

void gated_rms_norm(Ctx& ctx, const Tensor& x, const Tensor& z, const Tensor& weight, float eps, const Tensor& out) {
  check_gated_norm(x, z, weight, out);
  ctx.backend.gated_rms_norm(x, z, weight, eps, out);
}

void delta_mix(Ctx& ctx, const DeltaInput& input, const DeltaSteps& steps, const DeltaView& delta,
               const RowPlaces& rows, std::span<const int32_t> certain_end, const Tensor& out) {
  check_gates(input.a, input.b, steps.decay, steps.dt_bias);
  DUET_CHECK(input.a.data != input.b.data);
  check_conv(input.qkv, steps.conv, delta, input.convolved);
  check_rule(input.convolved, input.a, input.b, delta, rows, certain_end, out);
  check_gated_norm(out, input.z, steps.norm, out);
  ctx.backend.delta_mix(input, steps, delta, rows, certain_end, out);
}

}  // namespace duet::ops
