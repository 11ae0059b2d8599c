// linear() in the native arithmetic (docs/numerics.md): activations are rounded once, then every panel is multiplied,
// straight from its packed groups for few rows, else from an expansion that all rows share.
#include <algorithm>
#include <functional>

#include "backend/cpu/product.h"
#include "base/fetch_line.h"
#include "tensor/integer_blocks.h"

namespace duet {
namespace {

/// Elements that are rounded in 2 us: worth handing out.
constexpr int64_t kRoundWork = 4096;

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

void CpuBackend::linear_native(std::span<const RowGroup> groups) noexcept {
  const int64_t in = groups.front().in(), blocks = in / kIntegerColumns;
  const auto rounded_at = [&](size_t g, NativeBlock* x) {
    return RoundedGroup{x, groups[g].rows,
                        (groups[g].rows + level_.kernels.native_tile - 1) / level_.kernels.native_tile};
  };
  // Experts that share a row share its rounded form.
  const auto shares = [&](size_t g) {
    return g > 0 && groups[g].rows == 1 && groups[g - 1].rows == 1 && groups[g].x_row(0) == groups[g - 1].x_row(0);
  };
  const auto each_group = [&](const auto& body) {
    auto* x = reinterpret_cast<NativeBlock*>(activations_.data());
    for (size_t g = 0; g < groups.size(); ++g) {
      if (g > 0 && !shares(g)) x += groups[g - 1].rows * blocks;
      body(g, rounded_at(g, x));
    }
  };
  int64_t rows_to_round = 0, panels = 0;
  each_group([&](size_t g, const RoundedGroup&) {
    if (!shares(g)) rows_to_round += groups[g].rows;
    for (const LinearTerm* term : groups[g].terms) panels += product_of(*term).panels();
  });

  const auto round = [&](int64_t begin, int64_t end, int) {
    int64_t before = 0;
    each_group([&](size_t g, const RoundedGroup& rounded) {
      if (shares(g)) return;
      const int64_t last = std::min(end - before, groups[g].rows);
      for (int64_t r = std::max<int64_t>(0, begin - before), t = 0; r < last; ++r) {
        while (rounded.first_of(t + 1) <= r) ++t;
        const int64_t first = rounded.first_of(t), count = rounded.first_of(t + 1) - first;
        level_.kernels.native_round(groups[g].x_row(r), blocks, count, rounded.x + first * blocks + (r - first));
      }
      before += groups[g].rows;
    });
  };
  pool_.parallel_for(rows_to_round, grain(kRoundWork, in), std::ref(round));

  const auto is_direct = [&](const Product& p, int64_t rows) {
    return p.grouped == nullptr && rows <= std::max(level_.kernels.native_direct_rows, p.kernels.native.direct_rows);
  };
  // One row tile times whole packed panels [begin, end): nothing but the kernel between one panel and the next, so that
  // a step of one sequence reads as fast as memory gives.
  const auto multiply_whole = [&](const Product& p, const RowGroup& group, const RoundedGroup& rounded, int64_t begin,
                                  int64_t end, int worker) {
    float* const sums = scratch(worker) + kNativeSums;
    const int64_t count = in / p.weight.block_size(), bytes = p.weight.panel_bytes();
    const std::byte* groups_of_panel = p.weight.panel(begin);
    for (int64_t panel = begin; panel < end; ++panel, groups_of_panel += bytes) {
      for (int64_t r = 0; r < group.rows; ++r) p.fetch_place(group.out_row(r), panel);
      p.kernels.native.direct(groups_of_panel, count, rounded.x, group.rows, sums, false);
      for (int64_t r = 0; r < group.rows; ++r) p.finish(group.out_row(r), panel, sums + r * kPanelRows);
    }
  };
  const auto multiply_panel = [&](const Product& p, const RowGroup& group, const RoundedGroup& rounded, int64_t panel,
                                  int worker) {
    const int64_t rows = group.rows;
    const IntegerForm form = p.weight.integer_form();
    const NativeKernels& kernels = p.kernels.native;
    const bool direct = is_direct(p, rows);
    auto* const room = reinterpret_cast<std::byte*>(scratch(worker));
    float* const sums = scratch(worker) + kNativeSums;
    const bool packed = panel < p.weight.panels();
    if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
    const bool grouped = p.grouped != nullptr;
    for (int64_t k = 0; k < in; k += kNativeColumns) {
      const int64_t columns = std::min(kNativeColumns, in - k);
      NativeTileKernel multiply = level_.kernels.native_plain[form.scales - 1][form.minimums];
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
        if (whole && p.grouped->direct != nullptr && rows <= level_.kernels.native_direct_rows && rounded.tiles == 1) {
          p.grouped->direct(piece, rounded.x + k / kIntegerColumns * rows, rows, sums, k > 0);
          continue;
        }
        p.grouped->expand(piece, room);
        // Levels with `direct` expand codes of 4 bits into the forms of these types.
        if (p.grouped->direct != nullptr && p.weight.grouped()->code != GroupCode::kInt8) {
          multiply =
              level_.kernels.types[static_cast<int>(form.scales == 1 ? DType::kQ5_0 : DType::kQ6_K)].native.expanded;
        }
      } else if (const std::byte* stored = p.weight.panel(panel) + p.weight.group_offset(k); direct) {
        multiply = kernels.direct, from = stored, count = columns / p.weight.block_size();
      } else {
        kernels.expand(stored, columns / p.weight.block_size(), room);
        multiply = kernels.expanded, next = stored + bytes;
      }
      for (int64_t t = 0; t < rounded.tiles; ++t) {
        const int64_t r = rounded.first_of(t), height = rounded.first_of(t + 1) - r;
        if (next != nullptr) fetch(next, bytes, t, rounded.tiles);
        multiply(from, count, rounded.x + r * blocks + k / kIntegerColumns * height, height, sums + r * kPanelRows,
                 k > 0);
      }
    }
    for (int64_t r = 0; r < rows; ++r) p.finish(group.out_row(r), panel, sums + r * kPanelRows);
  };
  // The panels of all terms of all groups in a row: the threads share them as one loop.
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    expected_.fetch(begin, end, panels);
    int64_t first = 0;
    each_group([&](size_t g, const RoundedGroup& rounded) {
      if (first >= end) return;
      for (const LinearTerm* term : groups[g].terms) {
        const Product p = product_of(*term);
        const int64_t to = std::min(end - first, p.panels());
        int64_t from = std::max<int64_t>(begin - first, 0);
        if (rounded.tiles == 1 && is_direct(p, groups[g].rows)) {
          const int64_t whole = std::min(to, p.weight.panels());
          if (from < whole) multiply_whole(p, groups[g], rounded, from, whole, worker);
          from = std::max(from, whole);
        }
        for (; from < to; ++from) multiply_panel(p, groups[g], rounded, from, worker);
        first += p.panels();
      }
    });
  };
  static_assert(kNativeColumns <= GroupRoom::kColumns);
  static_assert(kNativeSums * static_cast<int64_t>(sizeof(float)) ==
                kNativeColumns / kIntegerColumns * native_expanded_bytes(2, 2));
  int64_t most_rows = 0;
  for (const RowGroup& group : groups) most_rows = std::max(most_rows, group.rows);
  const int64_t work = in * kPanelRows * most_rows;
  // Each chunk walks over the groups to its place: of many experts it takes at least as many panels.
  const int64_t least = grain(most_rows == 1 ? kOneRowWork : kBlockWork, work);
  pool_.parallel_for(panels, std::max(least, static_cast<int64_t>(groups.size())), std::ref(body));
  expected_.clear();
}

}  // namespace duet
