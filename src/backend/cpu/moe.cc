// Mixtures of experts, and what scales rows.
#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "backend/cpu/expert_rows.h"
#include "backend/cpu/panel_call.h"
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
  const std::lock_guard lock(activations_mutex_);
  ExpertRows& order = *experts_;
  const size_t experts = terms.front().experts.size();
  order.sort(ids, experts, x.shape.rank() == 3);
  order.begin(std::min(experts, order.slots.size()), terms.size());
  order.add_experts(x.f32(), order.x_rows, terms);
  std::vector<RowGroup> waiting;  // as many at once as the buffer of activations holds
  int64_t rows = 0;
  const auto flush = [&] {
    if (!waiting.empty()) PanelCall(*this, waiting, x).run();
    waiting.clear();
    rows = 0;
  };
  for (const RowGroup& group : order.groups) {
    for_row_blocks(group.rows, [&](int64_t first, int64_t count) {
      if (rows + count > kBlockRows) flush();
      waiting.push_back(group.part(first, count));
      rows += count;
    });
  }
  flush();
}

void CpuBackend::mixture(const Mixture& m) noexcept {
  const int64_t tokens = m.ids.dim(0), top_k = m.ids.dim(1), slots = m.ids.elements();
  const bool native = is_native(*m.down.experts.front());
  const auto other = [&](const PackedWeight& weight) { return is_native(weight) != native; };
  const bool shared = m.shared && std::none_of(m.shared->begin(), m.shared->end(),
                                               [&](const LinearTerm& term) { return other(*term.weight); });
  if (other(*m.gate.experts.front()) || other(*m.up.experts.front()) || slots + (shared ? tokens : 0) > kBlockRows) {
    return Backend::mixture(m);
  }
  {
    const std::lock_guard lock(activations_mutex_);
    ExpertRows& order = *experts_;
    order.sort(m.ids, m.gate.experts.size(), m.input.shape.rank() == 3);
    const size_t most = static_cast<size_t>(slots) + 1;
    const GroupedTerm gate_and_up[] = {m.gate, m.up};
    order.begin(most, 2);
    order.add_experts(m.input.f32(), order.x_rows, gate_and_up);
    if (shared) {
      order.add_term((*m.shared)[0]), order.add_term((*m.shared)[1]);
      RowGroup group{m.x.f32(), 0, tokens};
      group.row_gates = m.row_gates.f32();
      order.add_group(group, 2);
    }
    PanelCall gated(*this, order.groups, m.x);
    gated.run_gated(native);

    order.begin(most, 1);
    order.add_experts(m.gate.out.f32(), order.slots, {&m.down, 1});
    if (shared) {
      order.add_term((*m.shared)[2]);
      order.add_group({(*m.shared)[0].out.f32(), 0, tokens}, 1);
    }
    PanelCall products(*this, order.groups, m.x);
    if (native) products.follow(gated);
    products.run_mixed({top_k, m.weights.f32(), order.place_of.data(), shared, m.add_to});
  }
  if (m.shared && !shared) swiglu(m.x, (*m.shared)[0], (*m.shared)[1], (*m.shared)[2], m.row_gates);
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

void CpuBackend::scale_by_sigmoid(const float* x, float gate, float* out, int64_t n) const noexcept {
  // e^g / (1 + e^g) below zero: e^-g overflows long before the result is too small for float32.
  const float minus = -std::abs(gate);
  float e;
  level_.kernels.exp(&minus, &e, 1);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * (gate < 0 ? e : 1.0f) / (1.0f + e);
}

void CpuBackend::sigmoid_mul(Tensor x, Tensor gate, Tensor out) noexcept {
  const int64_t rows = x.dim(0), n = x.dim(1);
  const bool of_rows = gate.dim(1) == 1;
  const auto body = [&](int64_t begin, int64_t end, int) {
    constexpr int64_t kColumns = 64;
    float e[kColumns], minus[kColumns];
    for (int64_t t = begin; t < end; ++t) {
      if (of_rows) {
        scale_by_sigmoid(x.f32() + t * n, gate.f32()[t], out.f32() + t * n, n);
        continue;
      }
      for (int64_t i = 0; i < n; i += kColumns) {
        const int64_t count = std::min(kColumns, n - i);
        const float* const g = gate.f32() + t * n + i;
        for (int64_t c = 0; c < count; ++c) minus[c] = -std::abs(g[c]);
        level_.kernels.exp(minus, e, count);
        for (int64_t c = 0; c < count; ++c) {
          const int64_t at = t * n + i + c;
          out.f32()[at] = x.f32()[at] * (g[c] < 0 ? e[c] : 1.0f) / (1.0f + e[c]);
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
