#pragma once

#include "backend/types.h"
#include "ops/context.h"
#include "tensor/tensor.h"

namespace duet::ops {

/// Says, before the linear() that computes their q, k and v, which rows attention() will be called for: a device may
/// bring what they touch near meanwhile. No result depends on it.
void expect_attention(Ctx& ctx, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec);

/// All that lies between the products of a layer. First rms_norm(), rope() and scale_rows() (ops/rows.h) of each head
/// of q and k, in place, as `steps` has them; then the rows' k and v go into their sequences' pages, rounded once to
/// the pages' type. Every reader, this op included, reads the rounded values. At last
///   out[t, h] = sum_j p_j v_j with p = softmax_j(scale q[t, h] . k_j)
/// over the keys j of row t's sequence with j <= position(t) and, with a window, position(t) - window < j or, with
/// chunks, of position(t)'s chunk; head h reads kv head floor(h Hk / H).
///   q, out [T, H, D] f32 (not the same), k, v [T, Hk, D]; all keys before these rows' were written by earlier calls
/// Order: tiles of P = 64 keys anchored at position 0, merged in ascending order, the same for one row and for a
/// thousand. Numerics: (D + 8) 2^-24 sum |q_d k_d| scale in each score, e^x within 2 ulp, |out - exact| follows by the
/// softmax's Lipschitz constant 1 in the largest score error (docs/numerics.md).
void attention(Ctx& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const HeadSteps& steps, const KvView& kv,
               const RowPlaces& rows, const AttentionSpec& spec, const Tensor& out);

}  // namespace duet::ops
