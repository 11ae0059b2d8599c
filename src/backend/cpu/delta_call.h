#pragma once

// What the ops of a Gated DeltaNet layer, one after the other (delta_net.cc) and all at once (delta_mix.cc), share.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/sequence_rows.h"
#include "base/check.h"

namespace duet {

inline void delta_gate(float a, float b, float decay, float dt_bias, float* g, float* beta) {
  const double x = static_cast<double>(a) + static_cast<double>(dt_bias);
  const double softplus = (x > 0 ? x : 0.0) + std::log1p(std::exp(-std::abs(x)));
  const double y = static_cast<double>(b);
  *g = static_cast<float>(static_cast<double>(decay) * softplus);
  *beta = static_cast<float>(1.0 / (1.0 + std::exp(-y)));
}

inline void l2_norm_head(const CpuKernels& kernels, float* head, int64_t dim, float eps, float scale) {
  const double norm = std::sqrt(kernels.sum_of_squares(head, dim) + static_cast<double>(eps));
  const auto factor = static_cast<float>(static_cast<double>(scale) / norm);
  for (int64_t i = 0; i < dim; ++i) head[i] *= factor;
}

/// A step's rows and what the states keep of them.
struct DeltaRowsKept {
  const DeltaView& delta;
  const RowPlaces& rows;

  float* floats(int64_t s, int64_t at) const {
    return reinterpret_cast<float*>(delta.states[static_cast<size_t>(s)] + at);
  }
  /// The pre-convolution row of a position.
  float* conv_row(int64_t s, int64_t position) const { return floats(s, delta.conv_row_at(position)); }
  /// The pre-convolution rows that output row t is made of, of x [T, channels] as long as there are any, then of the
  /// state; nullptr before position 0.   taps [conv_width]
  void taps_of(const float* x, int64_t t, const float** taps) const {
    const int32_t sequence = rows.sequence[static_cast<size_t>(t)];
    for (int64_t j = delta.conv_width - 1, p = rows.position[static_cast<size_t>(t)]; j >= 0; --j, --p) {
      taps[j] = p < 0 ? nullptr : t >= 0 ? x + t * delta.channels() : conv_row(sequence, p);
      if (t >= 0) --t;
      while (t >= 0 && rows.sequence[static_cast<size_t>(t)] != sequence) --t;  // stays at -1
    }
  }
  /// body(position, row) for positions [begin, end) of a sequence's rows.
  template <typename Body>
  void each_row(const SequenceRows& own, int64_t begin, int64_t end, const Body& body) const {
    int64_t t = own.first_row;
    for (int64_t p = own.begin; p < end; ++p) {
      if (p > own.begin) t = next_row(rows, t);
      if (p >= begin) body(p, t);
    }
  }
  /// Columns [begin, end) of the last of x, which later steps may read.
  void keep_conv_rows(const float* x, const SequenceRows& own, int64_t s, int64_t begin, int64_t end) const {
    each_row(own, std::max(own.begin, own.end - delta.conv_rows()), own.end, [&](int64_t p, int64_t t) {
      std::memcpy(conv_row(s, p) + begin, x + t * delta.channels() + begin,
                  static_cast<size_t>(end - begin) * sizeof(float));
    });
  }
};

/// The delta rule of a step.
struct DeltaCall : DeltaRowsKept {
  std::span<const int32_t> certain_end;
  const float* qkv;  // [T, channels]: convolved
  const float* g;    // [T, Hv]
  const float* beta;
  float* out;  // [T, Hv, Dv]

  int64_t sequences() const { return static_cast<int64_t>(delta.states.size()); }
  int64_t& anchor(int64_t s) const {
    return *reinterpret_cast<int64_t*>(delta.states[static_cast<size_t>(s)] + DeltaView::anchor_at());
  }
  /// While the rule goes on, the state has room for k and G of the rows before this position. Those behind it would
  /// overwrite what they replace, so the last of them are kept when all is done.
  int64_t border(int64_t s) const { return anchor(s) + 2 * DeltaView::kChunkTokens; }

  /// Whether any sequence has rows behind its border.
  bool begin() const {
    bool longer = false;
    for (int64_t s = 0; s < sequences(); ++s) {
      const SequenceRows own = rows_of(rows, s);
      if (own.empty()) continue;
      if (own.begin == 0) anchor(s) = 0;
      DUET_CHECK(anchor(s) <= own.begin && own.begin <= anchor(s) + 2 * kChunk);
      longer = longer || own.end > border(s);
    }
    return longer;
  }
  void end() const {
    for (int64_t s = 0; s < sequences(); ++s) {
      if (rows_of(rows, s).empty()) continue;
      anchor(s) = std::max(anchor(s), DeltaView::earliest_restart(certain_end[static_cast<size_t>(s)]));
    }
  }
  /// k of a key head and G of a value head, before the border or behind it, into the state.
  void keep_keys(const SequenceRows& own, int64_t s, int64_t key_head, bool behind) const {
    each_kept(own, s, behind, [&](int64_t p, int64_t t) {
      const float* const key = qkv + t * delta.channels() + delta.keys_column() + key_head * delta.key_dim;
      float* const to = floats(s, delta.keys_at(p / kChunk, key_head)) + p % kChunk;
      for (int64_t d = 0; d < delta.key_dim; ++d) to[d * kChunk] = key[d];
    });
  }
  void keep_decays(const SequenceRows& own, int64_t s, int64_t head, bool behind) const {
    each_kept(own, s, behind, [&](int64_t p, int64_t t) {
      float* const decays = floats(s, delta.decays_at(p / kChunk, head)) + p % kChunk;
      *decays = (p % kChunk == 0 ? 0.0f : decays[-1]) + g[t * delta.value_heads + head];
    });
  }
  /// All panels of a value head; the scratch is the worker's.
  DeltaPiece piece_of(const SequenceRows& own, int64_t s, int64_t head, float* scratch) const {
    const int64_t key_head = delta.key_head_of_value_head[static_cast<size_t>(head)];
    DeltaPiece piece;
    piece.q = qkv + key_head * delta.key_dim;
    piece.k = piece.q + delta.keys_column();
    piece.v = qkv + delta.values_column() + head * delta.value_dim;
    piece.g = g + head;
    piece.beta = beta + head;
    piece.out = out + head * delta.value_dim;
    piece.row_stride = delta.channels();
    piece.heads = delta.value_heads;
    piece.key_dim = delta.key_dim;
    piece.value_dim = delta.value_dim;
    piece.sequence = rows.sequence.data();
    piece.first_row = own.first_row;
    piece.anchor = anchor(s);
    piece.begin = own.begin;
    piece.end = own.end;
    piece.certain_end = certain_end[static_cast<size_t>(s)];
    piece.last_panel = delta.panels();
    piece.matrix = floats(s, delta.matrix_at(head));
    for (int64_t slot = 0; slot < 2; ++slot) {
      piece.keys[slot] = floats(s, delta.keys_at(slot, key_head));
      piece.updates[slot] = floats(s, delta.updates_at(slot, head));
      piece.decays[slot] = floats(s, delta.decays_at(slot, head));
    }
    piece.scratch = scratch;
    return piece;
  }

 private:
  static constexpr int64_t kChunk = DeltaView::kChunkTokens;

  template <typename Body>
  void each_kept(const SequenceRows& own, int64_t s, bool behind, const Body& body) const {
    const int64_t restart = DeltaView::earliest_restart(certain_end[static_cast<size_t>(s)]);
    if (behind) return each_row(own, std::max(border(s), restart), own.end, body);
    each_row(own, own.begin, std::min(own.end, border(s)), body);
  }
};

}  // namespace duet
