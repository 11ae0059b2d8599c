// Gated DeltaNet in float64, one row after the other. What the state keeps is rounded to float32 when it is formed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/ref/ref_backend.h"
#include "backend/sequence_rows.h"
#include "base/check.h"

namespace duet {
namespace {

constexpr int64_t kChunk = DeltaView::kChunkTokens;
constexpr int64_t kLanes = DeltaView::kLanes;

/// The state of one value head.
struct HeadState {
  const DeltaView& delta;
  std::byte* state;
  int64_t head;

  float* floats(int64_t at) const { return reinterpret_cast<float*>(state + at); }
  int64_t key_head() const { return delta.key_head_of_value_head[static_cast<size_t>(head)]; }
  /// Element d of k, element c of u, and G of a position.
  float& key(int64_t p, int64_t d) const {
    return floats(delta.keys_at(p / kChunk, key_head()))[d * kChunk + p % kChunk];
  }
  float& update(int64_t p, int64_t c) const {
    const int64_t panel = c / kLanes;
    return floats(delta.updates_at(p / kChunk, head))[(panel * kChunk + p % kChunk) * kLanes + c % kLanes];
  }
  float& decay(int64_t p) const { return floats(delta.decays_at(p / kChunk, head))[p % kChunk]; }

  /// e^{G_p - G_j}
  double between(int64_t j, int64_t p) const {
    return std::exp(static_cast<double>(decay(p)) - static_cast<double>(decay(j)));
  }
  double dot(int64_t j, const float* x) const {
    double sum = 0;
    for (int64_t d = 0; d < delta.key_dim; ++d) sum += static_cast<double>(key(j, d)) * static_cast<double>(x[d]);
    return sum;
  }
};

/// An element of S, which lies in panels.
float& element(const DeltaView& delta, float* matrix, int64_t d, int64_t c) {
  return matrix[(c / kLanes * delta.key_dim + d) * kLanes + c % kLanes];
}

/// S at the anchor behind `chunk` from S at its own.
void fold(const HeadState& head, int64_t chunk, const float* from, float* to) {
  const DeltaView& delta = head.delta;
  const int64_t first = chunk * kChunk, last = first + kChunk - 1;
  const double keep = std::exp(static_cast<double>(head.decay(last)));
  for (int64_t d = 0; d < delta.key_dim; ++d) {
    for (int64_t c = 0; c < delta.value_dim; ++c) {
      double sum = keep * static_cast<double>(element(delta, const_cast<float*>(from), d, c));
      for (int64_t j = first; j <= last; ++j) {
        sum += head.between(j, last) * static_cast<double>(head.key(j, d)) * static_cast<double>(head.update(j, c));
      }
      element(delta, to, d, c) = static_cast<float>(sum);
    }
  }
}

/// One row: its k, u and G into the state, its output.   k, q [Dk], v, out [Dv]
void one_row(const HeadState& head, const float* matrix, int64_t p, const float* q, const float* k, const float* v,
             float g, float beta, float* out) {
  const DeltaView& delta = head.delta;
  const int64_t anchor = p / kChunk * kChunk;
  for (int64_t d = 0; d < delta.key_dim; ++d) head.key(p, d) = k[d];
  head.decay(p) =
      static_cast<float>((p == anchor ? 0.0 : static_cast<double>(head.decay(p - 1))) + static_cast<double>(g));
  const double since = std::exp(static_cast<double>(head.decay(p)));
  std::vector<double> to_key, to_query;
  for (int64_t j = anchor; j <= p; ++j) {
    to_key.push_back(head.between(j, p) * head.dot(j, k));
    to_query.push_back(head.between(j, p) * head.dot(j, q));
  }
  for (int64_t c = 0; c < delta.value_dim; ++c) {
    double of_key = 0, of_query = 0;
    for (int64_t d = 0; d < delta.key_dim; ++d) {
      const double s = static_cast<double>(element(delta, const_cast<float*>(matrix), d, c));
      of_key += s * static_cast<double>(k[d]);
      of_query += s * static_cast<double>(q[d]);
    }
    double u = static_cast<double>(v[c]) - since * of_key, o = since * of_query;
    for (int64_t j = anchor; j < p; ++j) {
      u -= to_key[static_cast<size_t>(j - anchor)] * static_cast<double>(head.update(j, c));
      o += to_query[static_cast<size_t>(j - anchor)] * static_cast<double>(head.update(j, c));
    }
    head.update(p, c) = static_cast<float>(static_cast<double>(beta) * u);
    out[c] = static_cast<float>(o + to_query.back() * static_cast<double>(head.update(p, c)));
  }
}

double silu(double x) { return x / (1.0 + std::exp(-x)); }

}  // namespace

void RefBackend::causal_conv1d(Tensor x, Tensor weight, const DeltaView& delta, const RowPlaces& rows,
                               Tensor out) noexcept {
  const int64_t channels = delta.channels(), width = delta.conv_width;
  for (size_t s = 0; s < delta.states.size(); ++s) {
    const SequenceRows own = rows_of(rows, static_cast<int64_t>(s));
    int64_t t = own.first_row;
    for (int64_t p = own.begin; p < own.end; ++p) {
      const auto kept = [&](int64_t position) {
        return reinterpret_cast<float*>(delta.states[s] + delta.conv_row_at(position));
      };
      if (p > own.begin) t = next_row(rows, t);
      std::memcpy(kept(p), x.f32() + t * channels, static_cast<size_t>(channels) * sizeof(float));
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (int64_t j = std::max<int64_t>(0, width - 1 - p); j < width; ++j) {
          sum += static_cast<double>(weight.f32()[c * width + j]) * static_cast<double>(kept(p - width + 1 + j)[c]);
        }
        out.f32()[t * channels + c] = static_cast<float>(silu(sum));
      }
    }
  }
}

void RefBackend::delta_gates(Tensor a, Tensor b, Tensor decay, Tensor dt_bias, Tensor g, Tensor beta) noexcept {
  const int64_t heads = a.dim(1);
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double x = static_cast<double>(a.f32()[i]) + static_cast<double>(dt_bias.f32()[i % heads]);
    const double softplus = x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    const double y = static_cast<double>(b.f32()[i]);
    g.f32()[i] = static_cast<float>(static_cast<double>(decay.f32()[i % heads]) * softplus);
    beta.f32()[i] = static_cast<float>(1.0 / (1.0 + std::exp(-y)));
  }
}

void RefBackend::l2_norm(Tensor x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) noexcept {
  for (int64_t t = 0; t < x.dim(0); ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      float* const head = x.f32() + t * x.dim(1) + column + h * dim;
      double sum = 0;
      for (int64_t i = 0; i < dim; ++i) sum += static_cast<double>(head[i]) * static_cast<double>(head[i]);
      const double factor = static_cast<double>(scale) / std::sqrt(sum + static_cast<double>(eps));
      for (int64_t i = 0; i < dim; ++i) head[i] = static_cast<float>(static_cast<double>(head[i]) * factor);
    }
  }
}

void RefBackend::delta_net(Tensor qkv, Tensor g, Tensor beta, const DeltaView& delta, const RowPlaces& rows,
                           std::span<const int32_t> certain_end, Tensor out) noexcept {
  // S of drafts behind an anchor, all heads.
  std::vector<float> provisional(static_cast<size_t>(delta.value_heads * delta.matrix_floats()));
  for (size_t s = 0; s < delta.states.size(); ++s) {
    const SequenceRows own = rows_of(rows, static_cast<int64_t>(s));
    if (own.empty()) continue;
    int64_t& anchor = *reinterpret_cast<int64_t*>(delta.states[s] + DeltaView::anchor_at());
    auto* const certain = reinterpret_cast<float*>(delta.states[s] + delta.matrix_at(0));
    if (own.begin == 0) {
      anchor = 0;
      std::fill(certain, certain + delta.value_heads * delta.matrix_floats(), 0.0f);
    }
    DUET_CHECK(anchor <= own.begin && own.begin <= anchor + 2 * kChunk);
    const float* matrices = certain;
    int64_t at = anchor, t = own.first_row;
    for (int64_t p = own.begin; p < own.end; ++p) {
      for (; at + kChunk <= p; at += kChunk) {
        float* const to = at + kChunk < certain_end[s] ? certain : provisional.data();
        for (int64_t h = 0; h < delta.value_heads; ++h) {
          const int64_t matrix = h * delta.matrix_floats();
          fold({delta, delta.states[s], h}, at / kChunk, matrices + matrix, to + matrix);
        }
        matrices = to;
      }
      if (p > own.begin) t = next_row(rows, t);
      const float* const row = qkv.f32() + t * delta.channels();
      for (int64_t h = 0; h < delta.value_heads; ++h) {
        const HeadState head = {delta, delta.states[s], h};
        one_row(head, matrices + h * delta.matrix_floats(), p, row + head.key_head() * delta.key_dim,
                row + delta.keys_column() + head.key_head() * delta.key_dim,
                row + delta.values_column() + h * delta.value_dim, g.f32()[t * delta.value_heads + h],
                beta.f32()[t * delta.value_heads + h], out.f32() + (t * delta.value_heads + h) * delta.value_dim);
      }
    }
    anchor = std::max(anchor, DeltaView::earliest_restart(certain_end[s]));
  }
}

void RefBackend::gated_rms_norm(Tensor x, Tensor z, Tensor weight, float eps, Tensor out) noexcept {
  const int64_t n = weight.dim(0);
  for (int64_t row = 0; row < x.elements() / std::max<int64_t>(1, n); ++row) {
    const float* const in = x.f32() + row * n;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(in[i]) * static_cast<double>(in[i]);
    const double factor = 1.0 / std::sqrt(sum / static_cast<double>(n) + static_cast<double>(eps));
    for (int64_t i = 0; i < n; ++i) {
      const double normed = static_cast<double>(in[i]) * factor * static_cast<double>(weight.f32()[i]);
      out.f32()[row * n + i] = static_cast<float>(normed * silu(static_cast<double>(z.f32()[row * n + i])));
    }
  }
}

}  // namespace duet
