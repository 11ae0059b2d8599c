// What lies between the projections of a Gated DeltaNet layer, as one loop where the rows are few.
#include <algorithm>
#include <functional>
#include <mutex>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/delta_call.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

/// Rows of a sequence and of a step that are few. More have work enough for a loop of each op, and every item looks for
/// its sequence's rows among all. Up to 4 rows of a sequence, or in steps of many sequences, one loop was as fast or
/// faster (bench/results/delta.txt); a single sequence of 16 to 32 rows, a rare step, is 3 to 6 % slower.
constexpr int64_t kFewOwnRows = 2 * DeltaView::kChunkTokens;
constexpr int64_t kFewRows = 256;
constexpr int64_t kFloat = sizeof(float);
/// Bytes of a matrix that are asked for before its turn: as many as the kernel itself is ahead.
constexpr int64_t kMatrixAhead = 4096;

}  // namespace

/// The work of one delta_mix(). A key head of a sequence, its q and k and the value heads that read it, needs nothing
/// of the others.
struct CpuBackend::DeltaMix {
  CpuBackend& backend;
  const DeltaInput& input;
  const DeltaSteps& steps;
  const DeltaCall call;
  const DeltaView& delta = call.delta;
  const CpuKernels& kernels = backend.level_.kernels;

  /// A sequence's rows and what the convolution makes them of.
  struct Own {
    SequenceRows rows;
    int64_t sequence, count = 0;
    const float* taps[kFewOwnRows * DeltaView::kMaxConvWidth];
    float* convolved[kFewOwnRows];
    int64_t row[kFewOwnRows];
    int64_t chunk() const { return rows.begin / DeltaView::kChunkTokens; }
  };
  void gather(Own& own) const {
    call.each_row(own.rows, own.rows.begin, own.rows.end, [&](int64_t, int64_t t) {
      call.taps_of(input.qkv.f32(), t, own.taps + own.count * delta.conv_width);
      own.convolved[own.count] = input.convolved.f32() + t * delta.channels();
      own.row[own.count++] = t;
    });
  }
  /// Asks for what an item begins to read before it comes to it: short pieces of many arrays, which the processor does
  /// not see coming.
  void fetch_columns(const Own& own, int64_t begin, int64_t columns) const {
    fetch_lines(steps.conv.f32() + begin * delta.conv_width, columns * delta.conv_width * kFloat);
    for (int64_t j = 0; j < delta.conv_width; ++j) {  // of the first row; those of others are much the same
      if (own.taps[j] != nullptr) fetch_lines(own.taps[j] + begin, columns * kFloat);
    }
  }
  void fetch_key_head(const Own& own, int64_t key_head) const {
    const int64_t q = key_head * delta.key_dim;
    fetch_columns(own, q, delta.key_dim);
    fetch_columns(own, delta.keys_column() + q, delta.key_dim);
    fetch_lines<FetchFor::kWriting>(call.floats(own.sequence, delta.keys_at(own.chunk(), key_head)),
                                    delta.key_dim * DeltaView::kChunkTokens * kFloat);
  }
  void convolve(const Own& own, int64_t begin, int64_t end) const {
    ConvPiece piece;
    piece.taps = own.taps;
    piece.out = own.convolved;
    piece.weight = steps.conv.f32();
    piece.width = delta.conv_width;
    piece.rows = own.count;
    piece.begin = begin;
    piece.end = end;
    kernels.conv(piece);
    // All that the rows are made of has been read: they may replace it.
    call.keep_conv_rows(input.qkv.f32(), own.rows, own.sequence, begin, end);
  }
  /// body(h) for the value heads that read a key head; they need not be neighbours.
  template <typename Body>
  void each_value_head(int64_t key_head, const Body& body) const {
    for (int64_t h = 0; h < delta.value_heads; ++h) {
      if (delta.key_head_of_value_head[static_cast<size_t>(h)] == key_head) body(h);
    }
  }
  /// q and k, and the gates of the value heads.
  void enter(const Own& own, int64_t key_head) const {
    const int64_t q = key_head * delta.key_dim, k = delta.keys_column() + q;
    fetch_key_head(own, key_head);
    convolve(own, q, q + delta.key_dim);
    convolve(own, k, k + delta.key_dim);
    for (int64_t i = 0; i < own.count; ++i) {
      l2_norm_head(kernels, own.convolved[i] + q, delta.key_dim, steps.l2_eps, steps.query_scale);
      l2_norm_head(kernels, own.convolved[i] + k, delta.key_dim, steps.l2_eps, 1.0f);
    }
    call.keep_keys(own.rows, own.sequence, key_head, false);
    each_value_head(key_head, [&](int64_t h) {
      for (int64_t i = 0; i < own.count; ++i) {
        float* const a = input.a.f32() + own.row[i] * delta.value_heads + h;
        float* const b = input.b.f32() + own.row[i] * delta.value_heads + h;
        delta_gate(*a, *b, steps.decay.f32()[h], steps.dt_bias.f32()[h], /*g=*/a, /*beta=*/b);
      }
      call.keep_decays(own.rows, own.sequence, h, false);
    });
  }
  void fetch_panels(const Own& own, int64_t h, int64_t first_panel, int64_t last_panel) const {
    const int64_t first = first_panel * DeltaView::kLanes,
                  last = std::min(delta.value_dim, last_panel * DeltaView::kLanes);
    fetch_columns(own, delta.values_column() + h * delta.value_dim + first, last - first);
    fetch_lines(call.floats(own.sequence, delta.matrix_at(h)) + first * delta.key_dim, kMatrixAhead);
    const float* const updates = call.floats(own.sequence, delta.updates_at(own.chunk(), h));
    constexpr int64_t kPanel = DeltaView::kChunkTokens * DeltaView::kLanes;
    for (int64_t panel = first_panel; panel < last_panel; ++panel) {
      fetch_lines(updates + panel * kPanel, (own.rows.begin % DeltaView::kChunkTokens + 1) * kLineBytes);
    }
  }
  /// Part `part` of `parts` of all panels of the value heads.
  void apply(const Own& own, int64_t key_head, int64_t part, int64_t parts, float* scratch) const {
    int64_t all = 0, before = 0;
    each_value_head(key_head, [&](int64_t) { all += delta.panels(); });
    const int64_t first = all * part / parts, last = all * (part + 1) / parts;
    each_value_head(key_head, [&](int64_t h) {
      DeltaPiece piece = call.piece_of(own.rows, own.sequence, h, scratch);
      piece.first_panel = std::max<int64_t>(0, first - before);
      piece.last_panel = std::min(delta.panels(), last - before);
      before += delta.panels();
      if (piece.first_panel >= piece.last_panel) return;
      fetch_panels(own, h, piece.first_panel, piece.last_panel);
      const int64_t v = delta.values_column() + h * delta.value_dim;
      convolve(own, v + piece.first_panel * DeltaView::kLanes,
               v + std::min(delta.value_dim, piece.last_panel * DeltaView::kLanes));
      kernels.delta(piece);
    });
  }
  void leave(const Own& own, int64_t key_head) const {
    const bool longer = own.rows.end > call.border(own.sequence);
    if (longer) call.keep_keys(own.rows, own.sequence, key_head, true);
    each_value_head(key_head, [&](int64_t h) {
      if (longer) call.keep_decays(own.rows, own.sequence, h, true);
      for (int64_t i = 0; i < own.count; ++i) {
        const int64_t at = (own.row[i] * delta.value_heads + h) * delta.value_dim;
        backend.gated_norm_row(call.out + at, input.z.f32() + at, steps.norm.f32(), steps.norm_eps, delta.value_dim,
                               call.out + at);
      }
    });
  }
};

void CpuBackend::delta_mix(const DeltaInput& input, const DeltaSteps& steps, const DeltaView& delta,
                           const RowPlaces& rows, std::span<const int32_t> certain_end, Tensor out) noexcept {
  const DeltaCall call = {{delta, rows}, certain_end, input.convolved.f32(), input.a.f32(), input.b.f32(), out.f32()};
  bool few = input.qkv.dim(0) <= kFewRows;
  for (int64_t s = 0; few && s < call.sequences(); ++s) {
    const SequenceRows own = rows_of(rows, s);
    few = own.end - own.begin <= kFewOwnRows;
  }
  if (!few) return Backend::delta_mix(input, steps, delta, rows, certain_end, out);

  const std::lock_guard lock(delta_mutex_);
  call.begin();
  const DeltaMix mix = {*this, input, steps, call};
  const int64_t heads = call.sequences() * delta.key_heads;
  const int64_t parts = delta_parts_.begin(heads, delta.panels() * delta.value_heads / delta.key_heads);
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t part = item % parts, head = item / parts, key_head = head % delta.key_heads;
      DeltaMix::Own own;
      own.sequence = head / delta.key_heads;
      own.rows = rows_of(rows, own.sequence);
      if (own.rows.empty()) continue;
      mix.gather(own);
      delta_parts_.run(
          head, [&] { mix.enter(own, key_head); }, [&] { mix.apply(own, key_head, part, parts, scratch(worker)); },
          [&] { mix.leave(own, key_head); });
    }
  };
  pool_.parallel_for(heads * parts, 1, std::ref(body));
  call.end();
}

}  // namespace duet
