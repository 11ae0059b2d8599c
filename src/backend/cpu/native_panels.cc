// The products of linear_native(): straight from packed groups for few rows, else from an expansion that all rows
// share.
#include <algorithm>

#include "backend/cpu/native_call.h"
#include "base/check.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

static_assert(kNativeColumns <= GroupRoom::kColumns);
static_assert(kNativeSums * 4 == kNativeColumns / kIntegerColumns * native_expanded_bytes(2, 2));

/// Asks for share t of `shares` of the `bytes` that will be expanded next, while a tile is multiplied that needs no
/// memory.
void fetch(const std::byte* next, int64_t bytes, int64_t t, int64_t shares) {
  const int64_t begin = bytes * t / shares / kLineBytes * kLineBytes;
  fetch_lines<FetchFor::kReading, 2>(next + begin, bytes * (t + 1) / shares - begin);
}

}  // namespace

bool CpuBackend::NativeCall::all_direct() const {
  if (groups.size() > 1) return false;
  const RowGroup& group = groups.front();
  if (rounded_out != nullptr) {
    return is_direct(backend.product_of(*group.terms[0]), backend.product_of(*group.terms[1]), group.rows);
  }
  return std::all_of(group.terms.begin(), group.terms.end(),
                     [&](const LinearTerm* term) { return is_direct(backend.product_of(*term), group.rows); });
}

void CpuBackend::NativeCall::multiply_direct(const Product& p, const std::byte* const* panels, int64_t number,
                                             const RoundedGroup& rounded, float* sums) const {
  const NativeKernels& native = p.kernels.native;
  const int64_t rows = rounded.rows, columns_of_group = p.weight.block_size();
  if (rows == 1 && native.side_by_side != nullptr) {
    native.side_by_side(panels, number, in / columns_of_group, rounded.x, sums);
    return;
  }
  if (in == 0) std::fill(sums, sums + number * rows * kPanelRows, 0.0f);
  const int64_t step = rounded.tiles == 1 ? in : kNativeColumns;  // what several tiles read is still near
  for (int64_t i = 0; i < number; ++i, sums += rows * kPanelRows) {
    for (int64_t k = 0; k < in; k += step) {
      const int64_t count = std::min(step, in - k) / columns_of_group;
      const std::byte* const groups_at = panels[i] + p.weight.group_offset(k);
      for (int64_t t = 0; t < rounded.tiles; ++t) {
        const int64_t r = rounded.first_of(t), height = rounded.first_of(t + 1) - r;
        native.direct(groups_at, count, rounded.x + r * blocks + k / kIntegerColumns * height, height,
                      sums + r * kPanelRows, k > 0);
      }
    }
  }
}

void CpuBackend::NativeCall::multiply_expanded(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker,
                                               float* sums) const {
  const int64_t rows = rounded.rows;
  const IntegerForm form = p.weight.integer_form();
  const NativeKernels& native = p.kernels.native;
  auto* const room = reinterpret_cast<std::byte*>(backend.scratch(worker));
  const bool packed = panel < p.weight.panels();
  if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
  const bool grouped = p.grouped != nullptr;
  for (int64_t k = 0; k < in; k += kNativeColumns) {
    const int64_t columns = std::min(kNativeColumns, in - k);
    NativeTileKernel kernel = kernels.native_plain[form.scales - 1][form.minimums];
    const int64_t bytes = grouped ? 0 : p.weight.group_offset(columns);
    const std::byte* next = nullptr;
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
    } else {
      const std::byte* const stored = p.weight.panel(panel) + p.weight.group_offset(k);
      native.expand(stored, columns / p.weight.block_size(), room);
      kernel = native.expanded, next = stored + bytes;
    }
    for (int64_t t = 0; t < rounded.tiles; ++t) {
      const int64_t r = rounded.first_of(t), height = rounded.first_of(t + 1) - r;
      if (next != nullptr) fetch(next, bytes, t, rounded.tiles);
      kernel(room, columns / kIntegerColumns, rounded.x + r * blocks + k / kIntegerColumns * height, height,
             sums + r * kPanelRows, k > 0);
    }
  }
}

/// Between one packed panel and the next few rows meet nothing but the kernel, so that a step of one sequence reads as
/// fast as memory gives.
void CpuBackend::NativeCall::multiply_panels(const Product& p, const RowGroup& group, const RoundedGroup& rounded,
                                             int64_t begin, int64_t end, int worker) const {
  const int64_t rows = group.rows;
  float* const sums = backend.scratch(worker) + kNativeSums;
  const auto finish = [&](int64_t panel, const float* of_panel) {
    for (int64_t r = 0; r < rows; ++r) p.finish(group.out_row(r), panel, of_panel + r * kPanelRows);
  };
  int64_t item = begin;
  if (is_direct(p, rows)) {
    const int64_t packed = std::min(end, p.weight.panels());
    const int64_t at_once = panels_at_once(rows);
    while (item < packed) {
      const int64_t number = std::min(at_once, packed - item);
      int64_t panel[kMostStreams];
      const std::byte* panels[kMostStreams];
      for (int64_t i = 0; i < number; ++i) {
        panel[i] = panel_of(p, rows, item + i);
        panels[i] = p.weight.panel(panel[i]);
        if (rounded.tiles > 1) continue;
        for (int64_t r = 0; r < rows; ++r) p.fetch_place(group.out_row(r), panel[i]);
      }
      multiply_direct(p, panels, number, rounded, sums);
      for (int64_t i = 0; i < number; ++i) finish(panel[i], sums + i * rows * kPanelRows);
      item += number;
    }
  }
  for (; item < end; ++item) {
    multiply_expanded(p, rounded, item, worker, sums);
    finish(item, sums);
  }
}

void CpuBackend::NativeCall::multiply_gated(const RowGroup& group, const RoundedGroup& rounded, int64_t begin,
                                            int64_t end, int worker) const {
  const Product gate = backend.product_of(*group.terms[0]), up = backend.product_of(*group.terms[1]);
  const int64_t rows = group.rows, columns = gate.outputs() / kIntegerColumns;  // blocks of a row of the result
  const RoundedGroup result = rounded_group(rounded_out, rows);
  const bool direct = is_direct(gate, up, rows), alike = &gate.kernels == &up.kernels;
  // Direct: results of both halves, then gates and ups of one. Else one block, whose gates become its results.
  const int64_t at_once = direct ? blocks_at_once(rows) : 1;
  float* const made = backend.scratch(worker) + kNativeSums;
  for (int64_t item = begin; item < end; item += at_once) {
    const int64_t number = std::min(at_once, end - item), size = number * rows * kPanelRows;
    DUET_CHECK(!direct || 4 * size <= kSumsRoom);
    for (int64_t half = 0; half < kPanelsOfBlock; ++half) {
      const auto panel_at = [&](int64_t i) { return kPanelsOfBlock * block_of(gate, up, rows, item + i) + half; };
      float* const gates = direct ? made + kPanelsOfBlock * size : made + half * size;
      float* const ups = direct ? gates + size : made + kPanelsOfBlock * size;
      if (direct) {
        const std::byte* panels[kMostStreams];
        for (int64_t i = 0; i < number; ++i) {
          panels[i] = gate.weight.panel(panel_at(i)), panels[number + i] = up.weight.panel(panel_at(i));
        }
        multiply_direct(gate, panels, alike ? 2 * number : number, rounded, gates);
        if (!alike) multiply_direct(up, panels + number, number, rounded, ups);
      } else {
        multiply_expanded(gate, rounded, panel_at(0), worker, gates);
        multiply_expanded(up, rounded, panel_at(0), worker, ups);
      }
      for (int64_t i = 0; i < number; ++i) {
        gate.add_bias(panel_at(i), rows, gates + i * rows * kPanelRows);
        up.add_bias(panel_at(i), rows, ups + i * rows * kPanelRows);
      }
      kernels.silu_mul(gates, ups, made + half * size, size);
    }
    for (int64_t i = 0; i < number; ++i) {
      const int64_t block = block_of(gate, up, rows, item + i);
      for (int64_t t = 0; t < result.tiles; ++t) {
        const int64_t first = result.first_of(t), height = result.first_of(t + 1) - first;
        for (int64_t r = first; r < first + height; ++r) {
          alignas(64) float row[kIntegerColumns];
          for (int64_t half = 0; half < kPanelsOfBlock; ++half) {
            std::copy_n(made + half * size + (i * rows + r) * kPanelRows, kPanelRows, row + half * kPanelRows);
          }
          kernels.native_round(row, 1, 1, result.x + first * columns + block * height + (r - first));
        }
      }
    }
  }
}

}  // namespace duet
