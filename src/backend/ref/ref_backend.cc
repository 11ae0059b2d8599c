#include "backend/ref/ref_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "backend/kv_page.h"
#include "backend/ref/ref_weight.h"
#include "backend/runtime.h"
#include "base/check.h"
#include "base/error.h"

namespace duet {
namespace {

std::byte* page_of(const KvView& kv, int64_t sequence, int64_t position) {
  return kv.pages[static_cast<size_t>(sequence)][static_cast<size_t>(position / KvView::kPageTokens)];
}

/// The plain product with the dequantized weight, summed in float64.
void linear_f32(const Tensor& x, const LinearTerm& term) {
  const auto& weight = static_cast<const RefWeight&>(*term.weight);
  const int64_t rows = x.dim(0), in = weight.cols(), outs = weight.rows();
  std::vector<float> w(static_cast<size_t>(in));
  for (int64_t o = 0; o < outs; ++o) {
    weight.dequantize_row(o, w.data());
    for (int64_t t = 0; t < rows; ++t) {
      double sum = 0;
      for (int64_t k = 0; k < in; ++k) sum += static_cast<double>(x.f32()[t * in + k]) * w[static_cast<size_t>(k)];
      if (term.bias.defined()) sum += term.bias.f32()[o];
      float& result = term.out.f32()[t * outs + o];
      result = static_cast<float>(term.epilogue == Epilogue::kAdd ? result + sum : sum);
    }
  }
}

}  // namespace

std::unique_ptr<PackedWeight> RefBackend::pack(const WeightSource& source) {
  return std::make_unique<RefWeight>(source);
}

std::unique_ptr<PackedWeight> RefBackend::restore(const WeightSource& source, const PackedReader& read) {
  auto weight = std::make_unique<RefWeight>(source, RefWeight::Empty{});
  for (int64_t at = 0; at < weight->bytes(); at += kPackedPieceBytes) {
    const int64_t count = std::min(kPackedPieceBytes, weight->bytes() - at);
    read(at, weight->data().subspan(static_cast<size_t>(at), static_cast<size_t>(count)));
  }
  return weight;
}

void RefBackend::copy_packed(const PackedWeight& weight, int64_t begin, std::span<std::byte> out) noexcept {
  const auto from = static_cast<const RefWeight&>(weight).data().subspan(static_cast<size_t>(begin), out.size());
  std::copy(from.begin(), from.end(), out.begin());
}

std::span<std::byte> RefBackend::packed_memory(PackedWeight& weight) noexcept {
  return static_cast<RefWeight&>(weight).data();
}

void RefBackend::copy_to_packed(PackedWeight& weight, int64_t begin, std::span<const std::byte> bytes) noexcept {
  std::copy(bytes.begin(), bytes.end(), static_cast<RefWeight&>(weight).data().begin() + begin);
}

void RefBackend::embed_rows(const PackedWeight& table, std::span<const int32_t> ids, Tensor out) noexcept {
  const auto& weight = static_cast<const RefWeight&>(table);
  for (size_t t = 0; t < ids.size(); ++t)
    weight.dequantize_row(ids[t], out.f32() + static_cast<int64_t>(t) * table.cols());
}

void RefBackend::linear(Tensor x, std::span<const LinearTerm> terms) noexcept {
  for (const LinearTerm& term : terms) {
    if (term.weight->activations() == Activations::kNative) {
      linear_native(x, term);
    } else {
      linear_f32(x, term);
    }
  }
}

void RefBackend::rms_norm(Tensor x, Tensor weight, float eps, Tensor out) noexcept {
  const int64_t n = weight.dim(0);
  for (int64_t row = 0; row < x.elements() / std::max<int64_t>(1, n); ++row) {
    const float* in = x.f32() + row * n;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(in[i]) * in[i];
    const double factor = 1.0 / std::sqrt(sum / static_cast<double>(n) + static_cast<double>(eps));
    for (int64_t i = 0; i < n; ++i) out.f32()[row * n + i] = static_cast<float>(in[i] * factor * weight.f32()[i]);
  }
}

void RefBackend::rope(Tensor x, Tensor cos, Tensor sin) noexcept {
  const int64_t heads = x.dim(1), dim = x.dim(2), half = cos.dim(1);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      float* head = x.f32() + (t * heads + h) * dim;
      for (int64_t i = 0; i < half; ++i) {
        const double c = cos.f32()[t * half + i], s = sin.f32()[t * half + i];
        const double a = head[i], b = head[i + half];
        head[i] = static_cast<float>(a * c - b * s);
        head[i + half] = static_cast<float>(b * c + a * s);
      }
    }
  }
}

void RefBackend::silu_mul(Tensor gate, Tensor up, Tensor out) noexcept {
  for (int64_t i = 0; i < gate.elements(); ++i) {
    const double g = gate.f32()[i];
    out.f32()[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up.f32()[i]);
  }
}

void RefBackend::kv_write(Tensor k, Tensor v, const KvView& kv, const RowPlaces& rows) noexcept {
  for (int64_t t = 0; t < k.dim(0); ++t) {
    const int64_t sequence = rows.sequence[static_cast<size_t>(t)], position = rows.position[static_cast<size_t>(t)];
    const int64_t row = t * kv.kv_heads * kv.head_dim;
    for (int64_t head = 0; head < kv.kv_heads; ++head) {
      const int64_t at = row + head * kv.head_dim;
      store_kv(kv, page_of(kv, sequence, position), head, position % KvView::kPageTokens, k.f32() + at, v.f32() + at);
    }
  }
}

void RefBackend::attention(Tensor q, const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec,
                           Tensor out) noexcept {
  const int64_t heads = q.dim(1), dim = q.dim(2), group = heads / kv.kv_heads;
  std::vector<double> scores, sum(static_cast<size_t>(dim));
  std::vector<float> row(static_cast<size_t>(dim));
  for (int64_t t = 0; t < q.dim(0); ++t) {
    const int64_t sequence = rows.sequence[static_cast<size_t>(t)], last = rows.position[static_cast<size_t>(t)];
    const int64_t first = spec.first_visible(last);
    scores.resize(static_cast<size_t>(last - first + 1));
    for (int64_t h = 0; h < heads; ++h) {
      const float* query = q.f32() + (t * heads + h) * dim;
      double largest = -std::numeric_limits<double>::infinity();
      bool has_nan = false;
      for (int64_t j = first; j <= last; ++j) {
        load_key(kv, page_of(kv, sequence, j), h / group, j % KvView::kPageTokens, row.data());
        double dot = 0;
        for (int64_t d = 0; d < dim; ++d) dot += static_cast<double>(query[d]) * row[static_cast<size_t>(d)];
        const double score = dot * static_cast<double>(spec.scale);
        scores[static_cast<size_t>(j - first)] = score;
        has_nan = has_nan || std::isnan(score);
        largest = std::max(largest, score);
      }
      if (has_nan) largest = std::numeric_limits<double>::quiet_NaN();
      double total = 0;
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t j = first; j <= last; ++j) {
        const double p = std::exp(scores[static_cast<size_t>(j - first)] - largest);
        total += p;
        load_value(kv, page_of(kv, sequence, j), h / group, j % KvView::kPageTokens, row.data());
        for (size_t d = 0; d < sum.size(); ++d) sum[d] += p * row[d];
      }
      float* result = out.f32() + (t * heads + h) * dim;
      for (int64_t d = 0; d < dim; ++d) result[d] = static_cast<float>(sum[static_cast<size_t>(d)] / total);
    }
  }
}

void RefBackend::select_rows(Tensor x, std::span<const int32_t> rows, Tensor out) noexcept {
  const int64_t n = x.dim(1);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(out.f32() + static_cast<int64_t>(i) * n, x.f32() + rows[i] * n, static_cast<size_t>(n) * sizeof(float));
  }
}

Buffer RefBackend::allocate(int64_t bytes) {
  constexpr std::align_val_t kAlignment{64};
  void* data = ::operator new(static_cast<size_t>(bytes), kAlignment, std::nothrow);
  if (data == nullptr) fail(ErrorCode::kOutOfMemory, "out of memory: {} bytes could not be had", bytes);
  std::memset(data, 0, static_cast<size_t>(bytes));
  return Buffer(this, static_cast<std::byte*>(data), bytes);
}

void RefBackend::release(std::byte* data, int64_t) noexcept { ::operator delete (data, std::align_val_t{64}); }

void RefBackend::copy_to_device(std::byte* device, const void* host, int64_t bytes) noexcept {
  std::memcpy(device, host, static_cast<size_t>(bytes));
}
void RefBackend::copy_to_host(void* host, const std::byte* device, int64_t bytes) noexcept {
  std::memcpy(host, device, static_cast<size_t>(bytes));
}
void RefBackend::copy(std::byte* to, const std::byte* from, int64_t bytes) noexcept {
  std::memmove(to, from, static_cast<size_t>(bytes));
}

std::unique_ptr<Backend> make_ref_backend() { return std::make_unique<RefBackend>(); }

}  // namespace duet
