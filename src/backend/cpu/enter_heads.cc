// Between the products of q, k and v and attention: norms, rope, and the way into the pages.
#include <algorithm>
#include <functional>

#include "backend/cpu/heads_call.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

/// Items whose rows and places are asked for before their turn.
constexpr int64_t kItemsAhead = 2;
/// Elements of rows that are worth handing out: scattered stores take long.
constexpr int64_t kEnterWork = 1024;

}  // namespace

void CpuBackend::HeadsCall::fetch(int64_t t, int64_t head, bool follows) const {
  constexpr int64_t kBytes = sizeof(float);
  fetch_lines(k.f32() + kv_at(t, head), kv.head_dim * kBytes);
  fetch_lines(v.f32() + kv_at(t, head), kv.head_dim * kBytes);
  if (group() > 0) fetch_lines(q_of(t, head), group() * kv.head_dim * kBytes);
  if (follows && t > 0 && page_of(t - 1) == page_of(t)) return;
  fetch_key_places(kv, page_of(t), head, slot_of(t));
}

void CpuBackend::HeadsCall::step(float* x, int64_t t, const Tensor& weight) const {
  const int64_t half = steps.cos.defined() ? steps.cos.dim(1) : 0;
  const auto norm = [&](bool after) {
    if (weight.defined() && steps.norm_after_rope == after) {
      backend.norm_row(x, weight.f32(), steps.eps, kv.head_dim, x);
    }
  };
  norm(false);
  if (half > 0) {
    backend.level_.kernels.rotate(x, x + half, steps.cos.f32() + t * half, steps.sin.f32() + t * half, half);
  }
  norm(true);
}

void CpuBackend::HeadsCall::enter(int64_t t, int64_t head) const {
  const KvRounding round = kv.dtype == DType::kF16    ? backend.level_.kernels.round_f16
                           : kv.dtype == DType::kBF16 ? backend.level_.kernels.round_bf16
                                                      : nullptr;
  float* const key = k.f32() + kv_at(t, head);
  step(key, t, steps.k_norm);
  store_kv(kv, page_of(t), head, slot_of(t), key, v.f32() + kv_at(t, head), round);
  float* const queries = q_of(t, head);
  const int64_t elements = group() * kv.head_dim;
  for (int64_t at = 0; at < elements; at += kv.head_dim) step(queries + at, t, steps.q_norm);
  if (!steps.q_factors.defined()) return;
  const float factor = steps.q_factors.f32()[t];
  for (int64_t i = 0; i < elements; ++i) queries[i] *= factor;
}

void CpuBackend::HeadsCall::enter_items(int64_t begin, int64_t end) const {
  const auto ask = [&](int64_t i) {
    if (i < end) fetch(i % count(), i / count(), i > begin);
  };
  for (int64_t i = begin; i < begin + kItemsAhead; ++i) ask(i);
  for (int64_t i = begin; i < end; ++i) {
    ask(i + kItemsAhead);
    enter(i % count(), i / count());
  }
}

void CpuBackend::kv_write(Tensor k, Tensor v, const KvView& kv, const RowPlaces& rows) noexcept {
  enter_heads(Tensor{nullptr, DType::kF32, {k.dim(0), 0, kv.head_dim}}, k, v, {}, kv, rows);
}

void CpuBackend::enter_heads(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv,
                             const RowPlaces& rows) noexcept {
  const HeadsCall call = {*this, q, k, v, steps, kv, rows};
  // Items go by heads: so a thread has those that it will read in attention(), and the slots of a page, which share
  // lines, follow one another.
  const auto body = [&](int64_t begin, int64_t end, int) { call.enter_items(begin, end); };
  // Many rows go in pieces that share their lines.
  const int64_t items = call.count() * kv.kv_heads, least = grain(kEnterWork, call.elements());
  pool_.parallel_for(items, std::max(least, std::min(items / 4, 4 * KvView::kPageTokens)), std::ref(body));
}

}  // namespace duet
