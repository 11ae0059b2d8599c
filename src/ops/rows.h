#pragma once

#include <span>

#include "ops/context.h"
#include "tensor/tensor.h"

namespace duet::ops {

/// out = x / sqrt(mean(x^2) + eps) * weight, for each row of n (Zhang and Sennrich 2019).
///   x, out [..., n] f32 (may be the same), weight [n] f32: the effective factor
/// Numerics: |out - exact| <= (n / 2 + 4) 2^-24 |exact| for the plain sum; backends state a tighter order where they
/// have one.
void rms_norm(Ctx& ctx, const Tensor& x, const Tensor& weight, float eps, const Tensor& out);

/// Rotates the first R dims of each head in place: (a, b) = (x_i, x_{i+R/2}) becomes (a c_i - b s_i, b c_i + a s_i).
///   x [T, H, D] f32, cos, sin [T, R/2] f32, R <= D (Su et al. 2021, halves instead of neighbours, as the checkpoints
///   are trained)
void rope(Ctx& ctx, const Tensor& x, const Tensor& cos, const Tensor& sin);

/// out = silu(gate) * up with silu(g) = g / (1 + e^-g).   gate, up, out [T, F] f32; out may be gate
void silu_mul(Ctx& ctx, const Tensor& gate, const Tensor& up, const Tensor& out);

/// out = x sigmoid(gate) with sigmoid(g) = 1 / (1 + e^-g).   x, out [T, n] f32 (may be the same), gate [T, n], or [T,
/// 1] for a whole row. Numerics: |out - exact| <= 8 2^-24 |exact| + 2^-148 |x| (e^-|g| below the normal range).
void sigmoid_mul(Ctx& ctx, const Tensor& x, const Tensor& gate, const Tensor& out);

/// out[t, j] = factors[t, j] x[t], one rounding.   x [T, n] f32, factors [T, k], out [T, k, n]; out may be x where k =
/// 1
void scale_rows(Ctx& ctx, const Tensor& x, const Tensor& factors, const Tensor& out);

/// out[t] = a[t], then b[t].   a [T, m], b [T, n], out [T, m + n] f32
void join_columns(Ctx& ctx, const Tensor& a, const Tensor& b, const Tensor& out);

/// out[i] = x[rows[i]].   x [T, C] f32, rows [N] in [0, T), out [N, C]
void select_rows(Ctx& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& out);

}  // namespace duet::ops
