// Mixtures of experts, and what scales rows.
#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "backend/cpu/product.h"
#include "backend/router.h"

namespace duet {

void CpuBackend::route_top_k(Tensor logits, RouterScore score, Tensor ids, Tensor weights) noexcept {
  const int64_t rows = logits.dim(0), experts = logits.dim(1), top_k = ids.dim(1);
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      route_row(logits.f32() + t * experts, experts, score, top_k, reinterpret_cast<int32_t*>(ids.data) + t * top_k,
                weights.f32() + t * top_k);
    }
  };
  pool_.parallel_for(rows, grain(kSmall, 4 * experts), std::ref(body));
}

void CpuBackend::grouped_linear(Tensor x, Tensor ids, std::span<const GroupedTerm> terms) noexcept {
  const int64_t top_k = ids.dim(1), slots = ids.elements();
  const auto* const expert_of = reinterpret_cast<const int32_t*>(ids.data);
  const size_t experts = terms.front().experts.size();
  const bool own_rows = x.shape.rank() == 3;  // a row of x for each slot, not for each token

  // Slots by expert, in ascending order within one: a counting sort.
  std::vector<int64_t> first(experts + 1, 0);
  for (int64_t slot = 0; slot < slots; ++slot) {
    if (expert_of[slot] >= 0) ++first[static_cast<size_t>(expert_of[slot]) + 1];
  }
  for (size_t e = 0; e < experts; ++e) first[e + 1] += first[e];
  std::vector<int32_t> out_rows(static_cast<size_t>(slots)), x_rows(static_cast<size_t>(slots));
  std::vector<int64_t> next(first.begin(), first.end() - 1);
  for (int64_t slot = 0; slot < slots; ++slot) {
    if (expert_of[slot] < 0) continue;
    const auto at = static_cast<size_t>(next[static_cast<size_t>(expert_of[slot])]++);
    out_rows[at] = static_cast<int32_t>(slot);
    x_rows[at] = static_cast<int32_t>(own_rows ? slot : slot / top_k);
  }

  std::vector<LinearTerm> products;
  products.reserve(experts * terms.size());
  for (size_t e = 0; e < experts; ++e) {
    for (const GroupedTerm& term : terms) products.push_back({term.experts[e], {}, Epilogue::kNone, term.out});
  }
  std::vector<const LinearTerm*> native;
  native.reserve(products.size());
  std::vector<RowGroup> waiting;  // of the native arithmetic: as many at once as the buffer of activations holds
  int64_t waiting_rows = 0;
  const std::function<void()> flush = [&] {
    if (waiting.empty()) return;
    const std::lock_guard lock(activations_mutex_);
    linear_native(waiting, x);
    waiting.clear();
    waiting_rows = 0;
  };
  for (size_t e = 0; e < experts; ++e) {
    RowGroup group{x.f32(), 0, first[e + 1] - first[e], x_rows.data() + first[e], out_rows.data() + first[e], {}};
    if (group.rows == 0) continue;
    const size_t begin = native.size();
    for (size_t i = 0; i < terms.size(); ++i) {
      const LinearTerm* const product = &products[e * terms.size() + i];
      if (is_native(*product)) {
        native.push_back(product);
      } else {
        group.terms = {&product, 1};
        linear_float(group);
      }
    }
    group.terms = std::span(native).subspan(begin);
    if (group.terms.empty()) continue;
    for_row_blocks(group.rows, [&](int64_t row, int64_t count) {
      if (waiting_rows + count > kBlockRows) flush();
      waiting.push_back(group.part(row, count));
      waiting_rows += count;
    });
  }
  flush();
}

void CpuBackend::mix_experts(Tensor y, Tensor weights, Tensor add_to) noexcept {
  const int64_t rows = y.dim(0), top_k = y.dim(1), n = y.dim(2);
  const auto body = [&](int64_t begin, int64_t end, int) {
    constexpr int64_t kColumns = 64;
    float sum[kColumns];
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < n; i += kColumns) {
        const int64_t count = std::min(kColumns, n - i);
        std::fill(sum, sum + count, 0.0f);
        for (int64_t j = 0; j < top_k; ++j) {
          const float weight = weights.defined() ? weights.f32()[t * top_k + j] : 1.0f;
          const float* const from = y.f32() + (t * top_k + j) * n + i;
          for (int64_t c = 0; c < count; ++c) sum[c] += weight * from[c];
        }
        float* const to = add_to.f32() + t * n + i;
        for (int64_t c = 0; c < count; ++c) to[c] += sum[c];
      }
    }
  };
  for_rows(rows, top_k * n, body);
}

void CpuBackend::sigmoid_mul(Tensor x, Tensor gate, Tensor out) noexcept {
  const int64_t rows = x.dim(0), n = x.dim(1), gates = gate.dim(1);
  const auto body = [&](int64_t begin, int64_t end, int) {
    constexpr int64_t kColumns = 64;
    float e[kColumns], minus[kColumns];
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < n; i += kColumns) {
        const int64_t count = std::min(kColumns, n - i);
        const float* const g = gate.f32() + t * gates + (gates == 1 ? 0 : i);
        const int64_t different = gates == 1 ? 1 : count;
        // e^g / (1 + e^g) below zero: e^-g overflows long before the result is too small for float32.
        for (int64_t c = 0; c < different; ++c) minus[c] = -std::abs(g[c]);
        level_.kernels.exp(minus, e, different);
        for (int64_t c = 0; c < count; ++c) {
          const int64_t at = t * n + i + c, own = gates == 1 ? 0 : c;
          out.f32()[at] = x.f32()[at] * (g[own] < 0 ? e[own] : 1.0f) / (1.0f + e[own]);
        }
      }
    }
  };
  for_rows(rows, n, body);
}

void CpuBackend::scale_rows(Tensor x, Tensor factors, Tensor out) noexcept {
  const int64_t rows = x.dim(0), n = x.dim(1), top_k = factors.dim(1);
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t j = 0; j < top_k; ++j) {
        const float factor = factors.f32()[t * top_k + j];
        for (int64_t i = 0; i < n; ++i) out.f32()[(t * top_k + j) * n + i] = x.f32()[t * n + i] * factor;
      }
    }
  };
  for_rows(rows, top_k * n, body);
}

void CpuBackend::join_columns(Tensor a, Tensor b, Tensor out) noexcept {
  const int64_t rows = a.dim(0), left = a.dim(1), right = b.dim(1);
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* const to = out.f32() + t * (left + right);
      std::copy_n(a.f32() + t * left, left, to);
      std::copy_n(b.f32() + t * right, right, to + left);
    }
  };
  for_rows(rows, left + right, body);
}

}  // namespace duet
