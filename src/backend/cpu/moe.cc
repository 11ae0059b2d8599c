// What stands around the products of a mixture of experts, and what scales rows.
#include <algorithm>
#include <cmath>
#include <functional>

#include "backend/cpu/cpu_backend.h"
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
