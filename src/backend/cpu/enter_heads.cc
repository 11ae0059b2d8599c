// Between the products of q, k and v and attention: norms, rope, and the way into the pages.
#include <algorithm>
#include <functional>

#include "backend/cpu/cpu_backend.h"
#include "backend/kv_page.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

/// Items whose rows and places are asked for before their turn.
constexpr int64_t kItemsAhead = 2;
/// Elements of rows that are worth handing out: scattered stores take long.
constexpr int64_t kEnterWork = 1024;

}  // namespace

void CpuBackend::kv_write(Tensor k, Tensor v, const KvView& kv, const RowPlaces& rows) noexcept {
  enter_heads(Tensor{nullptr, DType::kF32, {k.dim(0), 0, kv.head_dim}}, k, v, {}, kv, rows);
}

void CpuBackend::enter_heads(Tensor q, Tensor k, Tensor v, const HeadSteps& steps, const KvView& kv,
                             const RowPlaces& rows) noexcept {
  const int64_t heads = kv.kv_heads, dim = kv.head_dim, group = q.dim(1) / heads;
  const int64_t half = steps.cos.defined() ? steps.cos.dim(1) : 0;
  const auto count = static_cast<int64_t>(rows.position.size());
  const KvRounding round = kv.dtype == DType::kF16    ? level_.kernels.round_f16
                           : kv.dtype == DType::kBF16 ? level_.kernels.round_bf16
                                                      : nullptr;
  const auto page_of = [&](int64_t t) {
    return kv.pages[static_cast<size_t>(rows.sequence[static_cast<size_t>(t)])]
                   [static_cast<size_t>(rows.position[static_cast<size_t>(t)] / KvView::kPageTokens)];
  };
  const auto slot_of = [&](int64_t t) { return rows.position[static_cast<size_t>(t)] % KvView::kPageTokens; };
  const auto q_of = [&](int64_t t, int64_t head) { return q.f32() + (t * heads + head) * group * dim; };
  const auto step = [&](float* x, int64_t t, const Tensor& weight) {
    const auto norm = [&](bool after) {
      if (weight.defined() && steps.norm_after_rope == after) norm_row(x, weight.f32(), steps.eps, dim, x);
    };
    norm(false);
    if (half > 0) level_.kernels.rotate(x, x + half, steps.cos.f32() + t * half, steps.sin.f32() + t * half, half);
    norm(true);
  };
  // Item i is row i % count of kv head i / count: so a thread has the heads that it will read in attention(), and the
  // slots of a page, which share lines, follow one another.
  const auto body = [&](int64_t begin, int64_t end, int) {
    const auto fetch = [&](int64_t i) {
      if (i >= end) return;
      const int64_t t = i % count, head = i / count, at = (t * heads + head) * dim;
      constexpr int64_t kBytes = sizeof(float);  // these are of another core
      fetch_lines(k.f32() + at, dim * kBytes);
      fetch_lines(v.f32() + at, dim * kBytes);
      if (group > 0) fetch_lines(q_of(t, head), group * dim * kBytes);
      if (i > begin && t > 0 && page_of(t - 1) == page_of(t)) return;
      fetch_key_places(kv, page_of(t), head, slot_of(t));
    };
    for (int64_t i = begin; i < begin + kItemsAhead; ++i) fetch(i);
    for (int64_t i = begin; i < end; ++i) {
      fetch(i + kItemsAhead);
      const int64_t t = i % count, head = i / count, at = (t * heads + head) * dim;
      step(k.f32() + at, t, steps.k_norm);
      store_kv(kv, page_of(t), head, slot_of(t), k.f32() + at, v.f32() + at, round);
      for (int64_t g = 0; g < group; ++g) step(q_of(t, head) + g * dim, t, steps.q_norm);
    }
  };
  // Many rows go in pieces that share their lines.
  const int64_t items = count * heads, least = grain(kEnterWork, (group + 2) * dim);
  pool_.parallel_for(items, std::max(least, std::min(items / 4, 4 * KvView::kPageTokens)), std::ref(body));
}

}  // namespace duet
