// Gated DeltaNet: what goes to which thread, and what the state keeps of a step.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "backend/cpu/cpu_backend.h"
#include "backend/sequence_rows.h"
#include "base/check.h"

namespace duet {
namespace {

constexpr int64_t kChunk = DeltaView::kChunkTokens;
constexpr int64_t kConvColumns = 512;  // of a piece of the convolution
constexpr int64_t kConvRows = 32;
static_assert(DeltaView::kMaxKeyDim <= kDeltaKeyDim);

float* floats(std::byte* state, int64_t at) { return reinterpret_cast<float*>(state + at); }

/// k and G of the rows at positions [begin, end) of a sequence into its state, of some heads.
struct KeptRows {
  const DeltaView& delta;
  const RowPlaces& rows;
  const float* qkv;
  const float* g;

  int64_t heads() const { return std::max(delta.key_heads, delta.value_heads); }
  void keep(const SequenceRows& own, int64_t begin, int64_t end, std::byte* state, int64_t first_head,
            int64_t last_head) const noexcept {
    int64_t t = own.first_row;
    for (int64_t p = own.begin; p < end; ++p) {
      if (p > own.begin) t = next_row(rows, t);
      if (p < begin) continue;
      const float* const keys = qkv + t * delta.channels() + delta.keys_column();
      for (int64_t h = first_head; h < std::min(last_head, delta.key_heads); ++h) {
        float* const to = floats(state, delta.keys_at(p / kChunk, h)) + p % kChunk;
        for (int64_t d = 0; d < delta.key_dim; ++d) to[d * kChunk] = keys[h * delta.key_dim + d];
      }
      for (int64_t h = first_head; h < std::min(last_head, delta.value_heads); ++h) {
        float* const decays = floats(state, delta.decays_at(p / kChunk, h)) + p % kChunk;
        *decays = (p % kChunk == 0 ? 0.0f : decays[-1]) + g[t * delta.value_heads + h];
      }
    }
  }
};

}  // namespace

void CpuBackend::causal_conv1d(Tensor x, Tensor weight, const DeltaView& delta, const RowPlaces& rows,
                               Tensor out) noexcept {
  const int64_t channels = delta.channels(), width = delta.conv_width, count = x.dim(0);
  const int64_t column_blocks = (channels + kConvColumns - 1) / kConvColumns;
  const int64_t row_blocks = (count + kConvRows - 1) / kConvRows;
  const auto kept = [&](int64_t sequence, int64_t position) {
    return floats(delta.states[static_cast<size_t>(sequence)], delta.conv_row_at(position));
  };
  const auto convolve = [&](int64_t begin, int64_t end, int) {
    for (int64_t item = begin; item < end; ++item) {
      const float* taps[kConvRows * DeltaView::kMaxConvWidth];
      float* to[kConvRows];
      const int64_t first = item / column_blocks * kConvRows;
      ConvPiece piece;
      piece.taps = taps;
      piece.out = to;
      piece.weight = weight.f32();
      piece.width = width;
      piece.rows = std::min(kConvRows, count - first);
      piece.begin = item % column_blocks * kConvColumns;
      piece.end = std::min(channels, piece.begin + kConvColumns);
      for (int64_t r = 0; r < piece.rows; ++r) {
        to[r] = out.f32() + (first + r) * channels;
        const int32_t sequence = rows.sequence[static_cast<size_t>(first + r)];
        int64_t t = first + r;
        for (int64_t j = width - 1, p = rows.position[static_cast<size_t>(t)]; j >= 0; --j, --p) {
          // Earlier rows of the step as long as there are any (t stays at -1 behind them), then those of the state.
          const float*& tap = taps[r * width + j];
          tap = p < 0 ? nullptr : t >= 0 ? x.f32() + t * channels : kept(sequence, p);
          if (t >= 0) --t;
          while (t >= 0 && rows.sequence[static_cast<size_t>(t)] != sequence) --t;
        }
      }
      level_.kernels.conv(piece);
    }
  };
  pool_.parallel_for(column_blocks * row_blocks, grain(kSmall, kConvColumns * kConvRows), std::ref(convolve));
  const auto keep = [&](int64_t begin, int64_t end, int) {
    for (int64_t s = begin; s < end; ++s) {
      const SequenceRows own = rows_of(rows, s);
      int64_t t = own.first_row;
      for (int64_t p = own.begin; p < own.end; ++p) {
        if (p > own.begin) t = next_row(rows, t);
        if (p < own.end - delta.conv_rows()) continue;
        std::memcpy(kept(s, p), x.f32() + t * channels, static_cast<size_t>(channels) * sizeof(float));
      }
    }
  };
  const auto sequences = static_cast<int64_t>(delta.states.size());
  pool_.parallel_for(sequences, grain(kSmall, channels), std::ref(keep));
}

void CpuBackend::delta_gates(Tensor a, Tensor b, Tensor decay, Tensor dt_bias, Tensor g, Tensor beta) noexcept {
  const int64_t heads = a.dim(1), count = a.elements();
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const double x = static_cast<double>(a.f32()[i]) + static_cast<double>(dt_bias.f32()[i % heads]);
      const double softplus = (x > 0 ? x : 0.0) + std::log1p(std::exp(-std::abs(x)));
      const double y = static_cast<double>(b.f32()[i]);
      g.f32()[i] = static_cast<float>(static_cast<double>(decay.f32()[i % heads]) * softplus);
      beta.f32()[i] = static_cast<float>(1.0 / (1.0 + std::exp(-y)));
    }
  };
  pool_.parallel_for(count, 256, std::ref(body));
}

void CpuBackend::l2_norm(Tensor x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) noexcept {
  const int64_t rows = x.dim(0), width = x.dim(1);
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        float* const head = x.f32() + t * width + column + h * dim;
        const double norm = std::sqrt(level_.kernels.sum_of_squares(head, dim) + static_cast<double>(eps));
        const auto factor = static_cast<float>(static_cast<double>(scale) / norm);
        for (int64_t i = 0; i < dim; ++i) head[i] *= factor;
      }
    }
  };
  for_rows(rows, heads * dim, body);
}

void CpuBackend::delta_net(Tensor qkv, Tensor g, Tensor beta, const DeltaView& delta, const RowPlaces& rows,
                           std::span<const int32_t> certain_end, Tensor out) noexcept {
  const auto sequences = static_cast<int64_t>(delta.states.size());
  const auto anchor_of = [&](int64_t s) -> int64_t& {
    return *reinterpret_cast<int64_t*>(delta.states[static_cast<size_t>(s)] + DeltaView::anchor_at());
  };
  // The workers find the rows of the first two chunks in the state: the slots hold nothing else that is needed. Rows
  // behind them would overwrite what they replace, so the last of those are kept when all is done.
  const KeptRows kept = {delta, rows, qkv.f32(), g.f32()};
  bool longer = false;
  for (int64_t s = 0; s < sequences; ++s) {
    const SequenceRows own = rows_of(rows, s);
    if (own.empty()) continue;
    if (own.begin == 0) anchor_of(s) = 0;
    DUET_CHECK(anchor_of(s) <= own.begin && own.begin <= anchor_of(s) + 2 * kChunk);
    longer = longer || own.end > anchor_of(s) + 2 * kChunk;
  }
  const auto keep = [&](bool behind) {
    const auto some = [&](int64_t begin, int64_t end, int) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t s = item / kept.heads(), h = item % kept.heads();
        const SequenceRows own = rows_of(rows, s);
        if (own.empty()) continue;
        const int64_t border = anchor_of(s) + 2 * kChunk;
        const int64_t anchor =
            DeltaView::earliest_restart(certain_end[static_cast<size_t>(s)]);  // if behind the border
        kept.keep(own, behind ? std::max(border, anchor) : own.begin, behind ? own.end : std::min(own.end, border),
                  delta.states[static_cast<size_t>(s)], h, h + 1);
      }
    };
    pool_.parallel_for(sequences * kept.heads(), grain(kSmall, 16 * delta.key_dim), std::ref(some));
  };
  keep(false);

  // A head's columns are independent: few heads are cut into parts.
  const int64_t heads = sequences * delta.value_heads;
  const int64_t parts = std::clamp<int64_t>(4 * pool_.threads() / std::max<int64_t>(1, heads), 1, delta.panels());
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t part = item % parts, h = item / parts % delta.value_heads, s = item / parts / delta.value_heads;
      const SequenceRows own = rows_of(rows, s);
      if (own.empty()) continue;
      std::byte* const state = delta.states[static_cast<size_t>(s)];
      const int64_t key_head = delta.key_head_of_value_head[static_cast<size_t>(h)];
      DeltaPiece piece;
      piece.q = qkv.f32() + key_head * delta.key_dim;
      piece.k = piece.q + delta.keys_column();
      piece.v = qkv.f32() + delta.values_column() + h * delta.value_dim;
      piece.g = g.f32() + h;
      piece.beta = beta.f32() + h;
      piece.out = out.f32() + h * delta.value_dim;
      piece.row_stride = delta.channels();
      piece.heads = delta.value_heads;
      piece.key_dim = delta.key_dim;
      piece.value_dim = delta.value_dim;
      piece.sequence = rows.sequence.data();
      piece.first_row = own.first_row;
      piece.anchor = anchor_of(s);
      piece.begin = own.begin;
      piece.end = own.end;
      piece.certain_end = certain_end[static_cast<size_t>(s)];
      piece.first_panel = delta.panels() * part / parts;
      piece.last_panel = delta.panels() * (part + 1) / parts;
      piece.matrix = floats(state, delta.matrix_at(h));
      for (int64_t slot = 0; slot < 2; ++slot) {
        piece.keys[slot] = floats(state, delta.keys_at(slot, key_head));
        piece.updates[slot] = floats(state, delta.updates_at(slot, h));
        piece.decays[slot] = floats(state, delta.decays_at(slot, h));
      }
      piece.scratch = scratch(worker);
      level_.kernels.delta(piece);
    }
  };
  pool_.parallel_for(heads * parts, 1, std::ref(body));

  if (longer) keep(true);
  for (int64_t s = 0; s < sequences; ++s) {
    if (rows_of(rows, s).empty()) continue;
    anchor_of(s) = std::max(anchor_of(s), DeltaView::earliest_restart(certain_end[static_cast<size_t>(s)]));
  }
}

void CpuBackend::gated_rms_norm(Tensor x, Tensor z, Tensor weight, float eps, Tensor out) noexcept {
  const int64_t n = weight.dim(0), rows = n == 0 ? 0 : x.elements() / n;
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      float* const to = out.f32() + row * n;
      norm_row(x.f32() + row * n, weight.f32(), eps, n, to);
      level_.kernels.silu_mul(z.f32() + row * n, to, to, n);
    }
  };
  for_rows(rows, n, body);
}

}  // namespace duet
