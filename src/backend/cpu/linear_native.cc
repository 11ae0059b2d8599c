// linear() in the native arithmetic (docs/numerics.md): activations are normed where they are to be and rounded once,
// then every panel is multiplied, straight from its packed groups for few rows, else from an expansion that all rows
// share.
#include <algorithm>
#include <functional>

#include "backend/cpu/product.h"
#include "base/fetch_line.h"
#include "tensor/integer_blocks.h"

namespace duet {
namespace {

/// Elements that are rounded in 2 us: worth handing out.
constexpr int64_t kRoundWork = 4096;
/// Columns of a row that are normed, or handed out, at once; whole blocks.
constexpr int64_t kPieceColumns = 1024;
/// Up to so many columns of a single row each thread rounds for itself, which takes no longer than to wait for another
/// that does. A norm takes the whole row anyway.
constexpr int64_t kOwnColumns = 4096, kOwnNormedColumns = 16384;
/// Bytes of weights that a thread asks for before it rounds its row.
constexpr int64_t kFirstBytes = 6144;

// A worker's scratch, in floats: an expanded panel part, the sums of a block of rows (of two gates and an up), the
// row that it has rounded for itself.
constexpr int64_t kSums = kBlockRows * kPanelRows;
constexpr int64_t kPanelsOfBlock = kIntegerColumns / kPanelRows;
constexpr int64_t kOwnBlocks = kNativeSums + (kPanelsOfBlock + 1) * kSums;
static_assert(kOwnBlocks * 4 % 64 == 0);
static_assert(kOwnBlocks * 4 + kOwnNormedColumns / kIntegerColumns * static_cast<int64_t>(sizeof(NativeBlock)) <=
              kWorkerFloats * 4);
static_assert(kNativeColumns <= GroupRoom::kColumns);
static_assert(kNativeSums * 4 == kNativeColumns / kIntegerColumns * native_expanded_bytes(2, 2));

/// Asks for share t of `shares` of the `bytes` that will be expanded next, while a tile is multiplied that needs no
/// memory.
void fetch(const std::byte* next, int64_t bytes, int64_t t, int64_t shares) {
  const int64_t begin = bytes * t / shares / kLineBytes * kLineBytes;
  fetch_lines<FetchFor::kReading, 2>(next + begin, bytes * (t + 1) / shares - begin);
}

/// A group in the buffer of rounded activations. Row tiles are of nearly equal height: 6 rows in tiles of at most 4 are
/// 3 + 3. That of rows r to r + h - 1 is [blocks, h] from x + r * blocks on.
struct RoundedGroup {
  NativeBlock* x = nullptr;
  int64_t rows = 0, tiles = 0;
  int64_t first_of(int64_t tile) const { return tile * rows / tiles; }
};

}  // namespace

/// The work of one linear_native(). Its items are the panels of all terms of all groups in a row.
struct CpuBackend::NativeCall {
  CpuBackend& backend;
  std::span<const RowGroup> groups;
  const LinearInput& input;
  /// Of swiglu(). `rounded_out`: the one group's terms are a gate and its up; each item is two panels of both, 32
  /// columns of which silu_mul() is rounded to it. `rounded_in`: that of the call before.
  NativeBlock* rounded_out = nullptr;
  NativeBlock* rounded_in = nullptr;
  const CpuKernels& kernels = backend.level_.kernels;
  int64_t in = groups.front().in(), blocks = in / kIntegerColumns;
  bool norm = input.norm.defined();
  bool rounds_own_row = rounded_in == nullptr && groups.size() == 1 && groups.front().rows == 1 &&
                        backend.pool_.threads() > 1 && in <= (norm ? kOwnNormedColumns : kOwnColumns);

  /// Experts that share a row share its rounded form.
  bool shares(size_t g) const {
    return g > 0 && groups[g].rows == 1 && groups[g - 1].rows == 1 && groups[g].x_row(0) == groups[g - 1].x_row(0);
  }
  RoundedGroup rounded_group(NativeBlock* x, int64_t rows) const {
    return {x, rows, (rows + kernels.native_tile - 1) / kernels.native_tile};
  }
  /// body(g, rounded) for every group.
  template <typename Body>
  void each_group(const Body& body) const {
    auto* x = rounded_in != nullptr ? rounded_in : reinterpret_cast<NativeBlock*>(backend.activations_.data());
    for (size_t g = 0; g < groups.size(); ++g) {
      if (g > 0 && !shares(g)) x += groups[g - 1].rows * blocks;
      body(g, rounded_group(x, groups[g].rows));
    }
  }
  int64_t items_of(const RowGroup& group) const {
    if (rounded_out != nullptr) return backend.product_of(*group.terms.front()).outputs() / kIntegerColumns;
    int64_t panels = 0;
    for (const LinearTerm* term : group.terms) panels += backend.product_of(*term).panels();
    return panels;
  }

  /// Columns [begin, end), whole blocks, of row i of a group, normed where they are to be and rounded; block b of these
  /// goes to out[b stride].
  void round_columns(const RowGroup& group, int64_t i, int64_t begin, int64_t end, int64_t stride,
                     NativeBlock* out) const;
  void round_all(int64_t rows) const;
  /// The only row for this worker, which asks for what it needs first, and rounds the row for itself (rounds_own_row),
  /// when it comes to its first item.
  NativeBlock* row_of(int worker, int64_t item) const;

  bool is_direct(const Product& p, int64_t rows) const {
    return p.grouped == nullptr && rows <= std::max(kernels.native_direct_rows, p.kernels.native.direct_rows);
  }
  /// The chains of one panel.   sums [rows, 16]
  void multiply(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker, float* sums) const;
  void multiply_in_parts(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker, float* sums) const;
  void multiply_panels(const Product& p, const RowGroup& group, const RoundedGroup& rounded, int64_t begin, int64_t end,
                       int worker) const;
  void multiply_gated(const RowGroup& group, const RoundedGroup& rounded, int64_t begin, int64_t end, int worker) const;
  void run();
};

void CpuBackend::NativeCall::round_columns(const RowGroup& group, int64_t i, int64_t begin, int64_t end, int64_t stride,
                                           NativeBlock* out) const {
  const float* const x = group.x_row(i);
  if (!norm) {
    kernels.native_round(x + begin, (end - begin) / kIntegerColumns, stride, out);
    return;
  }
  alignas(64) float normed[kPieceColumns];
  const float factor = backend.norm_factor(x, input.eps, in);
  for (int64_t k = begin; k < end; k += kPieceColumns) {
    const int64_t columns = std::min(kPieceColumns, end - k);
    kernels.scale_row(x + k, factor, input.norm.f32() + k, normed, columns);
    kernels.native_round(normed, columns / kIntegerColumns, stride, out + (k - begin) / kIntegerColumns * stride);
  }
}

void CpuBackend::NativeCall::round_all(int64_t rows) const {
  // The sum of a norm is of a whole row, which is then one piece.
  const int64_t step = norm ? in : std::min(in, kPieceColumns);
  const int64_t pieces = in == 0 ? 0 : (in + step - 1) / step;  // of a row
  const auto round = [&](int64_t begin, int64_t end, int) {
    int64_t before = 0;
    each_group([&](size_t g, const RoundedGroup& rounded) {
      if (shares(g)) return;
      const int64_t last = std::min(end - before, groups[g].rows * pieces);
      for (int64_t i = std::max<int64_t>(0, begin - before), t = 0; i < last; ++i) {
        const int64_t r = i / pieces, k = i % pieces * step;
        while (rounded.first_of(t + 1) <= r) ++t;
        const int64_t first = rounded.first_of(t), count = rounded.first_of(t + 1) - first;
        round_columns(groups[g], r, k, std::min(k + step, in), count,
                      rounded.x + first * blocks + k / kIntegerColumns * count + (r - first));
      }
      before += groups[g].rows * pieces;
    });
  };
  backend.pool_.parallel_for(rows * pieces, grain(kRoundWork, step), std::ref(round));
}

NativeBlock* CpuBackend::NativeCall::row_of(int worker, int64_t item) const {
  NativeBlock* const x =
      rounds_own_row ? reinterpret_cast<NativeBlock*>(backend.scratch(worker) + kOwnBlocks) : rounded_in;
  uint64_t& call = backend.begun_[static_cast<size_t>(worker)].call;
  if (call == backend.call_) return x;
  call = backend.call_;
  const RowGroup& group = groups.front();
  const int64_t bytes = in * static_cast<int64_t>(sizeof(float));
  if (rounds_own_row) {  // what comes from other cores, or from far
    fetch_lines(group.x_row(0), bytes);
    if (norm) fetch_lines(input.norm.f32(), bytes);
  } else {
    fetch_lines(x, blocks * static_cast<int64_t>(sizeof(NativeBlock)));
  }
  int64_t panel = rounded_out != nullptr ? kPanelsOfBlock * item : item;
  for (const LinearTerm* term : group.terms) {
    const Product p = backend.product_of(*term);
    if (panel < p.weight.panels()) fetch_lines<FetchFor::kReading, 2>(p.weight.panel(panel), kFirstBytes);
    if (rounded_out != nullptr) continue;
    if (panel < p.panels()) break;
    panel -= p.panels();
  }
  if (rounds_own_row) round_columns(group, 0, 0, in, 1, x);
  return x;
}

void CpuBackend::NativeCall::multiply(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker,
                                      float* sums) const {
  if (rounded.tiles == 1 && panel < p.weight.panels() && is_direct(p, rounded.rows)) {
    p.kernels.native.direct(p.weight.panel(panel), in / p.weight.block_size(), rounded.x, rounded.rows, sums, false);
  } else {
    multiply_in_parts(p, rounded, panel, worker, sums);
  }
}

void CpuBackend::NativeCall::multiply_in_parts(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker,
                                               float* sums) const {
  const int64_t rows = rounded.rows;
  const IntegerForm form = p.weight.integer_form();
  const NativeKernels& native = p.kernels.native;
  const bool direct = is_direct(p, rows);
  auto* const room = reinterpret_cast<std::byte*>(backend.scratch(worker));
  const bool packed = panel < p.weight.panels();
  if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
  const bool grouped = p.grouped != nullptr;
  for (int64_t k = 0; k < in; k += kNativeColumns) {
    const int64_t columns = std::min(kNativeColumns, in - k);
    NativeTileKernel kernel = kernels.native_plain[form.scales - 1][form.minimums];
    const int64_t bytes = grouped ? 0 : p.weight.group_offset(columns);
    const std::byte *from = room, *next = nullptr;
    int64_t count = columns / kIntegerColumns;
    if (!packed) {
      p.weight.expand_plain(panel * kPanelRows, k, columns, room);
    } else if (grouped) {
      GroupRoom scales;
      const GroupPiece piece = p.weight.piece(panel, k, columns, scales);
      const bool whole =
          piece.group % kIntegerColumns == 0 || (piece.group == 16 && form.scales == 2 && piece.map != nullptr);
      if (whole && p.grouped->direct != nullptr && rows <= kernels.native_direct_rows && rounded.tiles == 1) {
        p.grouped->direct(piece, rounded.x + k / kIntegerColumns * rows, rows, sums, k > 0);
        continue;
      }
      p.grouped->expand(piece, room);
      // Levels with `direct` expand codes of 4 bits into the forms of these types.
      if (p.grouped->direct != nullptr && p.weight.grouped()->code != GroupCode::kInt8) {
        kernel = kernels.types[static_cast<int>(form.scales == 1 ? DType::kQ5_0 : DType::kQ6_K)].native.expanded;
      }
    } else if (const std::byte* stored = p.weight.panel(panel) + p.weight.group_offset(k); direct) {
      kernel = native.direct, from = stored, count = columns / p.weight.block_size();
    } else {
      native.expand(stored, columns / p.weight.block_size(), room);
      kernel = native.expanded, next = stored + bytes;
    }
    for (int64_t t = 0; t < rounded.tiles; ++t) {
      const int64_t r = rounded.first_of(t), height = rounded.first_of(t + 1) - r;
      if (next != nullptr) fetch(next, bytes, t, rounded.tiles);
      kernel(from, count, rounded.x + r * blocks + k / kIntegerColumns * height, height, sums + r * kPanelRows, k > 0);
    }
  }
}

/// Between one whole packed panel and the next a row tile meets nothing but the kernel, so that a step of one sequence
/// reads as fast as memory gives.
void CpuBackend::NativeCall::multiply_panels(const Product& p, const RowGroup& group, const RoundedGroup& rounded,
                                             int64_t begin, int64_t end, int worker) const {
  float* const sums = backend.scratch(worker) + kNativeSums;
  for (int64_t panel = begin; panel < end; ++panel) {
    if (rounded.tiles == 1) {
      for (int64_t r = 0; r < group.rows; ++r) p.fetch_place(group.out_row(r), panel);
    }
    multiply(p, rounded, panel, worker, sums);
    for (int64_t r = 0; r < group.rows; ++r) p.finish(group.out_row(r), panel, sums + r * kPanelRows);
  }
}

void CpuBackend::NativeCall::multiply_gated(const RowGroup& group, const RoundedGroup& rounded, int64_t begin,
                                            int64_t end, int worker) const {
  const Product gate = backend.product_of(*group.terms[0]), up = backend.product_of(*group.terms[1]);
  float* const sums = backend.scratch(worker) + kNativeSums;
  const int64_t rows = group.rows, columns = gate.outputs() / kIntegerColumns;  // blocks of a row of the result
  const RoundedGroup result = rounded_group(rounded_out, rows);
  for (int64_t block = begin; block < end; ++block) {
    for (int64_t half = 0; half < kPanelsOfBlock; ++half) {
      const int64_t panel = kPanelsOfBlock * block + half;
      float* const gates = sums + half * kSums;
      float* const ups = sums + kPanelsOfBlock * kSums;
      multiply(gate, rounded, panel, worker, gates);
      multiply(up, rounded, panel, worker, ups);
      gate.add_bias(panel, rows, gates);
      up.add_bias(panel, rows, ups);
      kernels.silu_mul(gates, ups, gates, rows * kPanelRows);
    }
    for (int64_t t = 0; t < result.tiles; ++t) {
      const int64_t first = result.first_of(t), height = result.first_of(t + 1) - first;
      for (int64_t r = first; r < first + height; ++r) {
        alignas(64) float row[kIntegerColumns];
        for (int64_t half = 0; half < kPanelsOfBlock; ++half) {
          std::copy_n(sums + half * kSums + r * kPanelRows, kPanelRows, row + half * kPanelRows);
        }
        kernels.native_round(row, 1, 1, result.x + first * columns + block * height + (r - first));
      }
    }
  }
}

void CpuBackend::NativeCall::run() {
  int64_t rows_to_round = 0, items = 0, most_rows = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!shares(g)) rows_to_round += groups[g].rows;
    items += items_of(groups[g]);
    most_rows = std::max(most_rows, groups[g].rows);
  }
  ++backend.call_;
  if (!rounds_own_row && rounded_in == nullptr) round_all(rows_to_round);
  const bool alone = rounds_own_row || (rounded_in != nullptr && most_rows == 1);

  const auto body = [&](int64_t begin, int64_t end, int worker) {
    NativeBlock* const row = alone ? row_of(worker, begin) : nullptr;
    backend.expected_.fetch(begin, end, items);
    int64_t first = 0;
    each_group([&](size_t g, RoundedGroup rounded) {
      if (first >= end) return;
      if (alone) rounded.x = row;
      const RowGroup& group = groups[g];
      if (rounded_out != nullptr) return multiply_gated(group, rounded, begin, end, worker);
      for (const LinearTerm* term : group.terms) {
        const Product p = backend.product_of(*term);
        multiply_panels(p, group, rounded, std::max<int64_t>(begin - first, 0), std::min(end - first, p.panels()),
                        worker);
        first += p.panels();
      }
    });
  };
  const int64_t panels_of_item = rounded_out != nullptr ? 2 * kPanelsOfBlock : 1;
  const int64_t work = in * kPanelRows * most_rows * panels_of_item;
  // Each chunk walks over the groups to its place: of many experts it takes at least as many panels.
  const int64_t least = grain(most_rows == 1 ? kOneRowWork : kBlockWork, work);
  backend.pool_.parallel_for(items, std::max(least, static_cast<int64_t>(groups.size())), std::ref(body));
  backend.expected_.clear();
}

void CpuBackend::linear_native(std::span<const RowGroup> groups, const LinearInput& input) noexcept {
  NativeCall{*this, groups, input}.run();
}

void CpuBackend::swiglu(const LinearInput& input, const LinearTerm& gate, const LinearTerm& up,
                        const LinearTerm& down) noexcept {
  const LinearTerm* const terms[] = {&gate, &up};
  const LinearTerm* const last[] = {&down};
  if (!is_native(gate) || !is_native(up) || !is_native(down)) return Backend::swiglu(input, gate, up, down);
  const int64_t blocks = gate.weight->cols() / kIntegerColumns;
  // Both rounded inputs lie in the buffer of activations, which has room for float32, one behind the other.
  static_assert(2 * sizeof(NativeBlock) <= kIntegerColumns * sizeof(float));
  const std::lock_guard lock(activations_mutex_);
  for_row_blocks(input.source.dim(0), [&](int64_t first, int64_t count) {
    auto* const between = reinterpret_cast<NativeBlock*>(activations_.data()) + blocks * count;
    RowGroup group{input.source.f32(), first, count};
    group.terms = terms;
    NativeCall{*this, {&group, 1}, input, /*rounded_out=*/between}.run();
    const LinearInput products(gate.out);
    group.x = gate.out.f32();  // not read: its rounded form is
    group.terms = last;
    NativeCall{*this, {&group, 1}, products, nullptr, /*rounded_in=*/between}.run();
  });
}

}  // namespace duet
