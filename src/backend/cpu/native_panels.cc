// The products of linear() in the native arithmetic: straight from packed groups for few rows, else from an expansion
// that all rows share.
#include <algorithm>

#include "backend/cpu/panel_call.h"
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

void CpuBackend::PanelCall::multiply_direct(const Product& p, const std::byte* const* panels, int64_t number,
                                            const RoundedGroup& rounded, float* sums) const {
  const NativeKernels& native = p.kernels.native;
  const int64_t rows = rounded.rows, in = p.in(), blocks = in / kIntegerColumns,
                columns_of_group = p.weight.block_size();
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

void CpuBackend::PanelCall::multiply_expanded(const Product& p, const RoundedGroup& rounded, int64_t panel, int worker,
                                              float* sums) const {
  const int64_t rows = rounded.rows, in = p.in(), blocks = in / kIntegerColumns;
  const IntegerForm form = p.weight.integer_form();
  const NativeKernels& native = p.kernels.native;
  auto* const room = reinterpret_cast<std::byte*>(backend_.scratch(worker));
  const bool packed = panel < p.weight.panels();
  if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
  const bool grouped = p.grouped != nullptr;
  for (int64_t k = 0; k < in; k += kNativeColumns) {
    const int64_t columns = std::min(kNativeColumns, in - k);
    NativeTileKernel kernel = kernels_.native_plain[form.scales - 1][form.minimums];
    const int64_t bytes = grouped ? 0 : p.weight.group_offset(columns);
    const std::byte* next = nullptr;
    if (!packed) {
      p.weight.expand_plain(panel * kPanelRows, k, columns, room);
    } else if (grouped) {
      GroupRoom scales;
      const GroupPiece piece = p.weight.piece(panel, k, columns, scales);
      const bool whole =
          piece.group % kIntegerColumns == 0 || (piece.group == 16 && form.scales == 2 && piece.map != nullptr);
      if (whole && p.grouped->direct != nullptr && rows <= kernels_.native_direct_rows && rounded.tiles == 1) {
        p.grouped->direct(piece, rounded.x + k / kIntegerColumns * rows, rows, sums, k > 0);
        continue;
      }
      p.grouped->expand(piece, room);
      // Levels with `direct` expand codes of 4 bits into the forms of these types.
      if (p.grouped->direct != nullptr && p.weight.grouped()->code != GroupCode::kInt8) {
        kernel = kernels_.types[static_cast<int>(form.scales == 1 ? DType::kQ5_0 : DType::kQ6_K)].native.expanded;
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

}  // namespace duet
