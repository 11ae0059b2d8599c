// Mixtures of experts, and what scales rows.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/ref/ref_backend.h"
#include "backend/router.h"

namespace duet {

void RefBackend::route_top_k(Tensor logits, RouterScore score, Tensor ids, Tensor weights) noexcept {
  const int64_t experts = logits.dim(1), top_k = ids.dim(1);
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    route_row(logits.f32() + t * experts, experts, score, top_k, reinterpret_cast<int32_t*>(ids.data) + t * top_k,
              weights.f32() + t * top_k);
  }
}

void RefBackend::grouped_linear(Tensor x, Tensor ids, std::span<const GroupedTerm> terms) noexcept {
  const int64_t top_k = ids.dim(1), in = x.dim(x.shape.rank() - 1), slots = ids.elements();
  for (int64_t slot = 0; slot < slots; ++slot) {
    const Tensor row = x.reshaped({x.elements() / in, in}).rows(x.shape.rank() == 3 ? slot : slot / top_k, 1);
    const int32_t id = reinterpret_cast<const int32_t*>(ids.data)[slot];
    if (id < 0) continue;
    const auto expert = static_cast<size_t>(id);
    for (const GroupedTerm& term : terms) {
      const Tensor out = term.out.reshaped({slots, term.out.dim(2)}).rows(slot, 1);
      const LinearTerm product{term.experts[expert], {}, Epilogue::kNone, out};
      linear(row, {&product, 1});
    }
  }
}

void RefBackend::mix_experts(Tensor y, Tensor weights, Tensor add_to) noexcept {
  const int64_t top_k = y.dim(1), n = y.dim(2);
  for (int64_t t = 0; t < y.dim(0); ++t) {
    for (int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < top_k; ++j) {
        const double weight = weights.defined() ? weights.f32()[t * top_k + j] : 1.0;
        sum += weight * static_cast<double>(y.f32()[(t * top_k + j) * n + i]);
      }
      float& result = add_to.f32()[t * n + i];
      result = static_cast<float>(result + sum);
    }
  }
}

void RefBackend::sigmoid_mul(Tensor x, Tensor gate, Tensor out) noexcept {
  const int64_t n = x.dim(1), gates = gate.dim(1);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    for (int64_t i = 0; i < n; ++i) {
      const double g = gate.f32()[t * gates + (gates == 1 ? 0 : i)];
      out.f32()[t * n + i] = static_cast<float>(static_cast<double>(x.f32()[t * n + i]) / (1.0 + std::exp(-g)));
    }
  }
}

void RefBackend::scale_rows(Tensor x, Tensor factors, Tensor out) noexcept {
  const int64_t n = x.dim(1), top_k = factors.dim(1);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    for (int64_t j = 0; j < top_k; ++j) {
      for (int64_t i = 0; i < n; ++i) {
        out.f32()[(t * top_k + j) * n + i] = x.f32()[t * n + i] * factors.f32()[t * top_k + j];
      }
    }
  }
}

void RefBackend::join_columns(Tensor a, Tensor b, Tensor out) noexcept {
  const int64_t left = a.dim(1), right = b.dim(1);
  for (int64_t t = 0; t < a.dim(0); ++t) {
    float* const to = out.f32() + t * (left + right);
    std::copy_n(a.f32() + t * left, left, to);
    std::copy_n(b.f32() + t * right, right, to + left);
  }
}

}  // namespace duet
