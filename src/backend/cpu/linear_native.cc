// linear() in the native arithmetic (docs/numerics.md): activations are rounded once, then every panel is multiplied,
// straight from its packed groups for few rows, else from an expansion that all rows share.
#include <algorithm>
#include <functional>

#include "backend/cpu/product.h"
#include "tensor/integer_blocks.h"

namespace duet {
namespace {

/// Asks for share t of `shares` of the `bytes` that will be expanded next, while a tile is multiplied that needs no
/// memory.
void fetch(const std::byte* next, int64_t bytes, int64_t t, int64_t shares) {
  constexpr int64_t kLine = 64;
  for (int64_t at = bytes * t / shares / kLine * kLine; at < bytes * (t + 1) / shares; at += kLine) {
    __builtin_prefetch(next + at, 0, 2);
  }
}

}  // namespace

void CpuBackend::linear_native(Tensor x_rows, std::span<const LinearTerm* const> terms, int64_t first_row,
                               int64_t rows) noexcept {
  const int64_t in = x_rows.dim(1), blocks = in / kIntegerColumns;
  const int64_t tiles = (rows + level_.kernels.native_tile - 1) / level_.kernels.native_tile;
  auto* const x = reinterpret_cast<NativeBlock*>(activations_.data());
  // Row tiles of nearly equal height: 6 rows in tiles of at most 4 are 3 + 3. That of rows r to r + h - 1 is
  // [blocks, h] from x + r * blocks on.
  const auto first_of = [&](int64_t tile) { return tile * rows / tiles; };
  const auto round = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = first_of(t), count = first_of(t + 1) - first;
      for (int64_t r = first; r < first + count; ++r) {
        level_.kernels.native_round(x_rows.f32() + (first_row + r) * in, blocks, count,
                                    x + first * blocks + (r - first));
      }
    }
  };
  const int64_t tile_work = std::max<int64_t>(1, in * level_.kernels.native_tile);
  pool_.parallel_for(tiles, grain(tiles, kOneRowWork / tile_work), std::ref(round));

  const auto multiply_panel = [&](const Product& p, int64_t panel, int worker) {
    const IntegerForm form = integer_form(p.weight.dtype());
    const NativeKernels& kernels = p.kernels.native;
    const bool direct = rows <= std::max(level_.kernels.native_direct_rows, kernels.direct_rows);
    auto* const room = reinterpret_cast<std::byte*>(scratch(worker));
    float* const sums = scratch(worker) + kNativeSums;
    const bool packed = panel < p.weight.panels();
    if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
    const int64_t step = packed && direct && tiles == 1 ? in : kNativeColumns;
    for (int64_t k = 0; k < in; k += step) {
      const int64_t columns = std::min(step, in - k);
      NativeTileKernel multiply = level_.kernels.native_plain[form.scales - 1][form.minimums];
      const int64_t bytes = p.weight.group_offset(columns);
      const std::byte *groups = room, *next = nullptr;
      int64_t count = columns / kIntegerColumns;
      if (!packed) {
        p.weight.expand_plain(panel * kPanelRows, k, columns, room);
      } else if (const std::byte* from = p.weight.panel(panel) + p.weight.group_offset(k); direct) {
        multiply = kernels.direct, groups = from, count = columns / p.weight.block_size();
      } else {
        kernels.expand(from, columns / p.weight.block_size(), room);
        multiply = kernels.expanded, next = from + bytes;
      }
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t r = first_of(t), height = first_of(t + 1) - r;
        if (next != nullptr) fetch(next, bytes, t, tiles);
        multiply(groups, count, x + r * blocks + k / kIntegerColumns * height, height, sums + r * kPanelRows, k > 0);
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
