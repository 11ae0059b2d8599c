#pragma once

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "base/fetch_line.h"

namespace duet {

/// Item i of `count`, in an order in which items i to i + ways - 1 go on in as many places: a thread that takes so many
/// at once reads several long streams.
inline int64_t in_streams(int64_t i, int64_t count, int64_t ways) {
  const int64_t length = count / ways, longer = count % ways, stream = i % ways;
  return stream * length + std::min(stream, longer) + i / ways;
}

inline bool is_native(const PackedWeight& weight) { return weight.activations() == Activations::kNative; }
inline bool is_native(const LinearTerm& term) { return is_native(*term.weight); }

/// One weight and what becomes of its chains.
struct CpuBackend::Product {
  const CpuPackedWeight& weight;
  const TypeKernels& kernels;
  const GroupKernels* grouped;  // where the rows are grouped
  const float* bias;            // [out] or null
  bool add;
  float* out;  // [rows, out]

  int64_t in() const { return weight.cols(); }
  int64_t outputs() const { return weight.rows(); }
  /// The last panel may be of plain rows and hold fewer than 16.
  int64_t panels() const { return (outputs() + kPanelRows - 1) / kPanelRows; }

  /// Columns [begin, begin + columns) of panel p as [columns, 16] float32: in `room`, or where they are already so.
  const float* decode(int64_t p, int64_t begin, int64_t columns, float* room) const {
    if (p >= weight.panels()) {
      weight.decode_plain(p * kPanelRows, begin, columns, room);
      return room;
    }
    if (grouped != nullptr) {
      GroupRoom rest;
      grouped->unpack(weight.piece(p, begin, columns, rest), room);
      return room;
    }
    const std::byte* const groups = weight.panel(p) + weight.group_offset(begin);
    if (weight.dtype() == DType::kF32) return reinterpret_cast<const float*>(groups);
    kernels.unpack(groups, columns / weight.block_size(), room);
    return room;
  }

  /// Chains of panel p for one row, with bias and the sum with out as the last steps.   sums [16]
  void finish(int64_t row, int64_t p, const float* sums) const {
    const int64_t first = p * kPanelRows, lanes = std::min(kPanelRows, outputs() - first);
    float* const to = out + row * outputs() + first;
    if (lanes == kPanelRows) {
      finish_lanes(first, kPanelRows, sums, to);  // loops of a known length
    } else {
      finish_lanes(first, lanes, sums, to);
    }
  }
  /// Its first step alone.   sums [rows, 16]
  void add_bias(int64_t p, int64_t rows, float* sums) const {
    if (bias == nullptr) return;
    const int64_t first = p * kPanelRows, lanes = std::min(kPanelRows, outputs() - first);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t lane = 0; lane < lanes; ++lane) sums[r * kPanelRows + lane] += bias[first + lane];
    }
  }
  /// Asks for the line that finish() will write: another thread may have it.
  void fetch_place(int64_t row, int64_t p) const {
    fetch_line<FetchFor::kWriting>(out + row * outputs() + p * kPanelRows);
  }

 private:
  [[gnu::always_inline]] void finish_lanes(int64_t first, int64_t lanes, const float* sums, float* to) const {
    float y[kPanelRows];
    std::copy(sums, sums + kPanelRows, y);
    if (bias != nullptr) {
      for (int64_t lane = 0; lane < lanes; ++lane) y[lane] += bias[first + lane];
    }
    if (add) {
      for (int64_t lane = 0; lane < lanes; ++lane) y[lane] = to[lane] + y[lane];
    }
    std::copy(y, y + lanes, to);
  }
};

/// Rows of x that are multiplied by the same weights: `rows` of them from first_row on, or those that x_rows names; the
/// results of row i go to the outputs' row out_rows[i], or first_row + i.
struct CpuBackend::RowGroup {
  const float* x = nullptr;  // [.., in]
  int64_t first_row = 0, rows = 0;
  const int32_t* x_rows = nullptr;
  const int32_t* out_rows = nullptr;
  std::span<const LinearTerm* const> terms;
  const float* row_gates = nullptr;  // [T]: what multiplies a gated row is the sigmoid of its token's

  bool any(Activations arithmetic) const {
    return std::any_of(terms.begin(), terms.end(),
                       [&](const LinearTerm* term) { return term->weight->activations() == arithmetic; });
  }
  int64_t in() const { return terms.front()->weight->cols(); }
  const float* x_row(int64_t i) const { return x + (x_rows != nullptr ? x_rows[i] : first_row + i) * in(); }
  int64_t out_row(int64_t i) const { return out_rows != nullptr ? out_rows[i] : first_row + i; }
  RowGroup part(int64_t first, int64_t count) const {
    RowGroup group = *this;
    group.rows = count;
    if (x_rows != nullptr) {
      group.x_rows += first, group.out_rows += first;
    } else {
      group.first_row += first;
    }
    return group;
  }
};

/// Calls body(first, rows) for blocks of at most kBlockRows, of nearly equal size, in whole row tiles.
template <typename Body>
void for_row_blocks(int64_t rows, const Body& body) {
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  for (int64_t b = 0, first = 0; b < blocks && first < rows; ++b) {
    const int64_t even = (rows - first + blocks - b - 1) / (blocks - b);
    const int64_t count = std::min((even + kMaxRowTile - 1) / kMaxRowTile * kMaxRowTile, rows - first);
    body(first, count);
    first += count;
  }
}

}  // namespace duet
