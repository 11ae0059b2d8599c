#pragma once

#include <span>

#include "backend/types.h"
#include "ops/context.h"
#include "tensor/tensor.h"

// Gated DeltaNet (Yang, Kautz and Hatamizadeh 2024, as Qwen3-Next and Qwen3.5 have it). Sequences' rows in a step lie
// in ascending order of consecutive positions, with other sequences' rows anywhere between. Hv value heads, Hk key
// heads, Dk, Dv their dimensions. docs/numerics.md has the bounds.

namespace duet::ops {

/// out[t, c] = silu(sum_j w[c, j] x_{p - n + 1 + j}[c]), j = 0..n-1 ascending, n = conv_width, x_i the pre-convolution
/// row of position i of row t's sequence, p the row's own; rows before position 0 take no part. Rows before the step
/// are those that the state kept; the step's last ones are kept in turn, drafts included.
///   x [T, channels] f32 (Q | K | V), weight [channels, n] f32, out as x; no overlap
/// Numerics: one float32 chain over the taps, then silu: 2n u sum |w x| (1.1 |silu'|) + 16 u |out|.
/// Source: Qwen3NextGatedDeltaNet of transformers (a depthwise Conv1d without bias).
void causal_conv1d(Ctx& ctx, const Tensor& x, const Tensor& weight, const DeltaView& delta, const RowPlaces& rows,
                   const Tensor& out);

/// g = decay * softplus(a + dt_bias), beta = sigmoid(b); softplus(x) = max(x, 0) + log1p(e^-|x|), which overflows
/// nowhere.
///   a, b, g, beta [T, Hv] f32 (g may be a, beta may be b), decay [Hv] f32 = -exp(A_log), dt_bias [Hv] f32
/// Numerics: float64 inside, rounded once: 1.1 u |exact|.
void delta_gates(Ctx& ctx, const Tensor& a, const Tensor& b, const Tensor& decay, const Tensor& dt_bias,
                 const Tensor& g, const Tensor& beta);

/// Each head of columns [column, column + heads dim) of every row, in place: x / sqrt(sum x^2 + eps) * scale. In place
/// on a part of wider rows, so that Q and K of convolved rows need no copy. eps stands within the root, as in the
/// reference (llama.cpp divides by max(norm, eps)).
///   x [T, n] f32
/// Numerics: the sum in float64, the factor rounded once: 2.1 u |exact|.
void l2_norm(Ctx& ctx, const Tensor& x, int64_t column, int64_t heads, int64_t dim, float eps, float scale);

/// The gated delta rule S <- e^{g_t} S; S <- S + k_t (beta_t (v_t - S' k_t))'; o_t = S' q_t of each value head,
/// computed in chunks of 16 positions anchored at multiples of 16: with S the matrix at the anchor, G_t the sum of g
/// since it,
///   u_t = beta_t (v_t - e^{G_t} S'k_t - sum_{j<t} e^{G_t - G_j} (k_j . k_t) u_j)
///   o_t = e^{G_t} S'q_t + sum_{j<=t} e^{G_t - G_j} (k_j . q_t) u_j
///   at the next anchor S <- e^{G_C} S + sum_j e^{G_C - G_j} k_j u_j'
/// with j ascending. e^{-G} is never formed (g <= 0 may be far below -88). k, u, G and S are rounded to float32 when
/// they are formed; all readers read the rounded values. DeltaView says how drafts and restarts work.
///   qkv [T, channels] f32: rows of causal_conv1d, Q and K normalised (l2_norm), Q scaled by Dk^-0.5
///   g, beta [T, Hv] f32; certain_end [S]: the first position of each sequence that is a draft, the end of its rows
///   where none is; not read for a sequence without rows; out [T, Hv, Dv] f32, not qkv
/// Numerics: every chain (S'k, the dots, the sums over j, the fold) is float32 in ascending order, one per element, so
/// that row t has the same bits in any split into steps. The error follows by running error analysis
/// (src/backend/cpu/delta_net_test.cc).
/// Source: torch_chunk_gated_delta_rule of transformers, rearranged so that no row needs a later one.
void delta_net(Ctx& ctx, const Tensor& qkv, const Tensor& g, const Tensor& beta, const DeltaView& delta,
               const RowPlaces& rows, std::span<const int32_t> certain_end, const Tensor& out);

/// out = weight * x / sqrt(mean(x^2) + eps) * silu(z), for each head of Dv.
///   x, out [T, Hv, Dv] f32 (may be the same), z [T, Hv Dv] f32 (not out), weight [Dv] f32: the plain factor, not 1 + w
/// Numerics: 4.1 u of the norm and 16 u of silu: 20 u |exact|.
void gated_rms_norm(Ctx& ctx, const Tensor& x, const Tensor& z, const Tensor& weight, float eps, const Tensor& out);

/// What lies between a layer's projections, with the bits of the ops above one after the other: delta_gates() of a and
/// b, causal_conv1d() of qkv, l2_norm() of its q, times query_scale, and of its k, delta_net(), gated_rms_norm() by z.
///   all f32, shapes as in DeltaInput and DeltaSteps; out [T, Hv, Dv], not z; the inputs are not defined afterwards
void delta_mix(Ctx& ctx, const DeltaInput& input, const DeltaSteps& steps, const DeltaView& delta,
               const RowPlaces& rows, std::span<const int32_t> certain_end, const Tensor& out);

}  // namespace duet::ops
