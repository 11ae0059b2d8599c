#include "ops/attention.h"

#include "backend/backend.h"
#include "base/check.h"

namespace duet::ops {
namespace {

void check_rows(const KvView& kv, const RowPlaces& rows, int64_t count) {
  DUET_CHECK(static_cast<int64_t>(rows.sequence.size()) == count);
  DUET_CHECK(static_cast<int64_t>(rows.position.size()) == count);
  for (int64_t t = 0; t < count; ++t) {
    const int32_t sequence = rows.sequence[static_cast<size_t>(t)];
    DUET_CHECK(sequence >= 0 && sequence < static_cast<int32_t>(kv.pages.size()));
    const int64_t page = rows.position[static_cast<size_t>(t)] / KvView::kPageTokens;
    DUET_CHECK(page >= 0 && page < static_cast<int64_t>(kv.pages[static_cast<size_t>(sequence)].size()));
  }
}

}  // namespace

void expect_attention(Ctx& ctx, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec) {
  check_rows(kv, rows, static_cast<int64_t>(rows.position.size()));
  ctx.backend.expect_attention(kv, rows, spec);
}

void attention(Ctx& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const HeadSteps& steps, const KvView& kv,
               const RowPlaces& rows, const AttentionSpec& spec, const Tensor& out) {
  DUET_CHECK((k.shape == v.shape && k.shape == Shape{k.dim(0), kv.kv_heads, kv.head_dim}));
  DUET_CHECK((q.shape == Shape{k.dim(0), q.dim(1), kv.head_dim}) && q.dim(1) % kv.kv_heads == 0);
  DUET_CHECK(!steps.q_norm.defined() || (steps.q_norm.shape == Shape{kv.head_dim}));
  DUET_CHECK(steps.q_norm.defined() == steps.k_norm.defined());
  DUET_CHECK(!steps.k_norm.defined() || steps.k_norm.shape == steps.q_norm.shape);
  DUET_CHECK(!steps.cos.defined() || (steps.cos.shape.rank() == 2 && steps.cos.shape == steps.sin.shape));
  DUET_CHECK(!steps.cos.defined() || (steps.cos.dim(0) == k.dim(0) && 2 * steps.cos.dim(1) <= kv.head_dim));
  DUET_CHECK(!steps.q_factors.defined() || (steps.q_factors.shape == Shape{k.dim(0)}));
  DUET_CHECK(q.shape == out.shape && q.data != out.data && spec.window >= 0 && spec.chunk >= 0);
  check_rows(kv, rows, k.dim(0));
  ctx.backend.attend(q, k, v, steps, kv, rows, spec, out);
}

}  // namespace duet::ops
