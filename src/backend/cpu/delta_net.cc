// Gated DeltaNet: what goes to which thread, and what the state keeps of a step.
#include <algorithm>
#include <functional>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/delta_call.h"

namespace duet {
namespace {

constexpr int64_t kConvColumns = 512;  // of a piece of the convolution
constexpr int64_t kConvRows = 32;
static_assert(DeltaView::kMaxKeyDim <= kDeltaKeyDim);

}  // namespace

void CpuBackend::causal_conv1d(Tensor x, Tensor weight, const DeltaView& delta, const RowPlaces& rows,
                               Tensor out) noexcept {
  const int64_t channels = delta.channels(), width = delta.conv_width, count = x.dim(0);
  const int64_t column_blocks = (channels + kConvColumns - 1) / kConvColumns;
  const int64_t row_blocks = (count + kConvRows - 1) / kConvRows;
  const DeltaRowsKept kept = {delta, rows};
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
        kept.taps_of(x.f32(), first + r, taps + r * width);
      }
      level_.kernels.conv(piece);
    }
  };
  pool_.parallel_for(column_blocks * row_blocks, grain(kSmall, kConvColumns * kConvRows), std::ref(convolve));
  const auto keep = [&](int64_t begin, int64_t end, int) {
    for (int64_t s = begin; s < end; ++s) {
      const SequenceRows own = rows_of(rows, s);
      if (!own.empty()) kept.keep_conv_rows(x.f32(), own, s, 0, channels);
    }
  };
  const auto sequences = static_cast<int64_t>(delta.states.size());
  pool_.parallel_for(sequences, grain(kSmall, channels), std::ref(keep));
}

void CpuBackend::delta_gates(Tensor a, Tensor b, Tensor decay, Tensor dt_bias, Tensor g, Tensor beta) noexcept {
  const int64_t heads = a.dim(1), count = a.elements();
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      delta_gate(a.f32()[i], b.f32()[i], decay.f32()[i % heads], dt_bias.f32()[i % heads], g.f32() + i, beta.f32() + i);
    }
  };
  pool_.parallel_for(count, 256, std::ref(body));
}

void CpuBackend::l2_norm(Tensor x, int64_t column, int64_t heads, int64_t dim, float eps, float scale) noexcept {
  const int64_t rows = x.dim(0), width = x.dim(1);
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        l2_norm_head(level_.kernels, x.f32() + t * width + column + h * dim, dim, eps, scale);
      }
    }
  };
  for_rows(rows, heads * dim, body);
}

void CpuBackend::delta_net(Tensor qkv, Tensor g, Tensor beta, const DeltaView& delta, const RowPlaces& rows,
                           std::span<const int32_t> certain_end, Tensor out) noexcept {
  const DeltaCall call = {{delta, rows}, certain_end, qkv.f32(), g.f32(), beta.f32(), out.f32()};
  const int64_t sequences = call.sequences();
  const bool longer = call.begin();
  const auto keep = [&](bool behind) {
    const int64_t most = std::max(delta.key_heads, delta.value_heads);
    const auto some = [&](int64_t begin, int64_t end, int) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t s = item / most, h = item % most;
        const SequenceRows own = rows_of(rows, s);
        if (own.empty()) continue;
        if (h < delta.key_heads) call.keep_keys(own, s, h, behind);
        if (h < delta.value_heads) call.keep_decays(own, s, h, behind);
      }
    };
    pool_.parallel_for(sequences * most, grain(kSmall, 16 * delta.key_dim), std::ref(some));
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
      DeltaPiece piece = call.piece_of(own, s, h, scratch(worker));
      piece.first_panel = delta.panels() * part / parts;
      piece.last_panel = delta.panels() * (part + 1) / parts;
      level_.kernels.delta(piece);
    }
  };
  pool_.parallel_for(heads * parts, 1, std::ref(body));

  if (longer) keep(true);
  call.end();
}

void CpuBackend::gated_rms_norm(Tensor x, Tensor z, Tensor weight, float eps, Tensor out) noexcept {
  const int64_t n = weight.dim(0), rows = n == 0 ? 0 : x.elements() / n;
  const auto body = [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      gated_norm_row(x.f32() + row * n, z.f32() + row * n, weight.f32(), eps, n, out.f32() + row * n);
    }
  };
  for_rows(rows, n, body);
}

}  // namespace duet
