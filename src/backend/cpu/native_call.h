#pragma once

#include <algorithm>

#include "backend/cpu/product.h"
#include "tensor/integer_blocks.h"

namespace duet {

/// Up to so many columns of a single row each thread rounds for itself, which takes no longer than to wait for another
/// that does. A norm takes the whole row anyway.
inline constexpr int64_t kOwnColumns = 4096, kOwnNormedColumns = 16384;
inline constexpr int64_t kPanelsOfBlock = kIntegerColumns / kPanelRows;

// A worker's scratch, in floats: an expanded panel part, sums (of a block of rows: two gates and an up), the row that
// it has rounded for itself.
inline constexpr int64_t kBlockSums = kBlockRows * kPanelRows;
inline constexpr int64_t kSumsRoom = (kPanelsOfBlock + 1) * kBlockSums;
inline constexpr int64_t kOwnBlocks = kNativeSums + kSumsRoom;
static_assert(kOwnBlocks * 4 % 64 == 0);
static_assert(kOwnBlocks * 4 + kOwnNormedColumns / kIntegerColumns * static_cast<int64_t>(sizeof(NativeBlock)) <=
              kWorkerFloats * 4);

/// A group in the buffer of rounded activations. Row tiles are of nearly equal height: 6 rows in tiles of at most 4 are
/// 3 + 3. That of rows r to r + h - 1 is [blocks, h] from x + r * blocks on.
struct RoundedGroup {
  NativeBlock* x = nullptr;
  int64_t rows = 0, tiles = 0;
  int64_t first_of(int64_t tile) const { return tile * rows / tiles; }
};

/// The work of one linear_native(). Its items are the panels of all terms of all groups in a row; those that are read
/// side by side (in_streams()) follow one another. Rows are rounded in linear_native.cc and multiplied in
/// native_panels.cc.
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

  /// Rows are multiplied straight from packed groups.
  bool is_direct(const Product& p, int64_t rows) const {
    return p.grouped == nullptr && rows <= std::max(kernels.native_direct_rows, p.kernels.native.direct_rows);
  }
  /// The same of a gate and its up, of which all panels are packed.
  bool is_direct(const Product& gate, const Product& up, int64_t rows) const {
    return is_direct(gate, rows) && is_direct(up, rows) && gate.weight.panels() == gate.panels() &&
           up.weight.panels() == up.panels();
  }
  bool all_direct() const;

  int64_t panels_at_once(int64_t rows) const { return rows == 1 ? kernels.streams : 1; }
  int64_t blocks_at_once(int64_t rows) const { return std::max<int64_t>(1, panels_at_once(rows) / 2); }
  /// The panel of an item of a term, the block of one of a gate and its up.
  int64_t panel_of(const Product& p, int64_t rows, int64_t item) const {
    if (!is_direct(p, rows) || item >= p.weight.panels()) return item;
    return in_streams(item, p.weight.panels(), panels_at_once(rows));
  }
  int64_t block_of(const Product& gate, const Product& up, int64_t rows, int64_t item) const {
    if (!is_direct(gate, up, rows)) return item;
    return in_streams(item, gate.outputs() / kIntegerColumns, blocks_at_once(rows));
  }

  /// The chains of `number` packed panels of one type, which are read side by side.   sums [number, rows, 16]
  void multiply_direct(const Product& p, const std::byte* const* panels, int64_t number, const RoundedGroup& rounded,
                       float* sums) const;
  /// The chains of any panel, expanded in parts.   sums [rows, 16]
  void multiply_expanded(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker, float* sums) const;
  void multiply_panels(const Product& p, const RowGroup& group, const RoundedGroup& rounded, int64_t begin, int64_t end,
                       int worker) const;
  void multiply_gated(const RowGroup& group, const RoundedGroup& rounded, int64_t begin, int64_t end, int worker) const;
  void run();
};

}  // namespace duet
