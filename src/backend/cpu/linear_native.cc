// linear() in the native arithmetic (docs/numerics.md): activations are rounded once, then every panel is multiplied,
// straight from its packed groups for few rows, else from an expansion that all rows share.
#include <algorithm>
#include <functional>

#include "backend/cpu/product.h"
#include "tensor/integer_blocks.h"

namespace duet {

void CpuBackend::linear_native(Tensor x_rows, std::span<const LinearTerm* const> terms, int64_t first_row,
                               int64_t rows) noexcept {
  const int64_t in = x_rows.dim(1), blocks = in / kIntegerColumns;
  const int64_t tile_rows = level_.kernels.native_tile;
  auto* const x = reinterpret_cast<NativeBlock*>(activations_.data());
  // Row tile at row r: [blocks, rows of the tile], from x + r * blocks on.
  const auto round = [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t tile = r / tile_rows * tile_rows, count = std::min(tile_rows, rows - tile);
      level_.kernels.native_round(x_rows.f32() + (first_row + r) * in, blocks, count, x + tile * blocks + (r - tile));
    }
  };
  pool_.parallel_for(rows, std::max<int64_t>(1, kOneRowWork / std::max<int64_t>(1, in)), std::ref(round));

  const auto multiply_panel = [&](const Product& p, int64_t panel, int worker) {
    const IntegerForm form = integer_form(p.weight.dtype());
    const NativeKernels& kernels = p.kernels.native;
    auto* const room = reinterpret_cast<std::byte*>(scratch(worker));
    float* const sums = scratch(worker) + kNativeSums;
    const bool packed = panel < p.weight.panels();
    if (packed && rows <= level_.kernels.native_direct_rows) {
      kernels.direct(p.weight.panel(panel), in / p.weight.block_size(), x, rows, sums, false);
    } else {
      if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
      const NativeTileKernel multiply =
          packed ? kernels.expanded : level_.kernels.native_plain[form.scales - 1][form.minimums];
      for (int64_t k = 0; k < in; k += kNativeColumns) {
        const int64_t columns = std::min(kNativeColumns, in - k), count = columns / kIntegerColumns;
        if (packed) {
          kernels.expand(p.weight.panel(panel) + p.weight.group_offset(k), columns / p.weight.block_size(), room);
        } else {
          p.weight.expand_plain(panel * kPanelRows, k, columns, room);
        }
        for (int64_t r = 0; r < rows; r += tile_rows) {
          const int64_t tile = std::min(tile_rows, rows - r);
          multiply(room, count, x + r * blocks + k / kIntegerColumns * tile, tile, sums + r * kPanelRows, k > 0);
        }
      }
    }
    for (int64_t r = 0; r < rows; ++r) p.finish(first_row + r, panel, sums + r * kPanelRows);
  };
  // The panels of all terms in a row: the threads share them as one loop.
  int64_t panels = 0;
  for (const LinearTerm* term : terms) panels += product_of(x_rows, *term).panels();
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    int64_t first = 0;
    for (const LinearTerm* term : terms) {
      const Product p = product_of(x_rows, *term);
      const int64_t last = first + p.panels();
      for (int64_t i = std::max(begin, first); i < std::min(end, last); ++i) multiply_panel(p, i - first, worker);
      first = last;
    }
  };
  static_assert(kNativeSums * static_cast<int64_t>(sizeof(float)) ==
                kNativeColumns / kIntegerColumns * native_expanded_bytes(2, 2));
  const int64_t work = std::max<int64_t>(1, in * kPanelRows * rows);
  pool_.parallel_for(panels, grain(panels, rows == 1 ? kOneRowWork / work : kBlockWork / work), std::ref(body));
}

}  // namespace duet
