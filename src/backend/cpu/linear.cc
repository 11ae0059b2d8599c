#include <algorithm>
#include <array>
#include <functional>

#include "backend/cpu/product.h"
#include "backend/limits.h"

namespace duet {
void CpuBackend::reserve_activations(int64_t columns) {
  const std::lock_guard lock(activations_mutex_);
  const int64_t wanted = cpu_activation_bytes(columns);
  if (activations_.bytes() < wanted) activations_ = allocate(wanted);
}

CpuBackend::Product CpuBackend::product_of(const LinearTerm& term) const noexcept {
  static constexpr TypeKernels kNone = {};
  const auto type = static_cast<size_t>(term.weight->dtype());
  const auto& grouped = term.weight->grouped();
  return {static_cast<const CpuPackedWeight&>(*term.weight),
          type < CpuKernels::kTypes ? level_.kernels.types[type] : kNone,
          grouped ? &level_.kernels.grouped[static_cast<size_t>(grouped->code)] : nullptr,
          term.bias.f32(),
          term.epilogue == Epilogue::kAdd,
          term.out.f32()};
}

void CpuBackend::linear_of(const LinearInput& input, std::span<const LinearTerm> terms) noexcept {
  if (input.norm.defined() && !std::all_of(terms.begin(), terms.end(), is_native)) {
    return Backend::linear_of(input, terms);
  }
  std::array<const LinearTerm*, kMaxLinearTerms> native = {};
  size_t natives = 0;
  RowGroup group{input.source.f32(), 0, input.source.dim(0)};
  for (const LinearTerm& term : terms) {
    const LinearTerm* const one = &term;
    if (is_native(term)) {
      native[natives++] = one;
    } else {
      group.terms = {&one, 1};
      linear_float(group);
    }
  }
  const std::lock_guard lock(activations_mutex_);
  if (natives == 0) {
    expected_.clear();  // it was for this product
    return;
  }
  group.terms = std::span(native).first(natives);
  for_row_blocks(group.rows, [&](int64_t first, int64_t count) {
    const RowGroup block = group.part(first, count);
    linear_native({&block, 1}, input);
  });
}

void CpuBackend::linear_float(const RowGroup& group) noexcept {
  const Product product = product_of(*group.terms.front());
  if (group.rows == 1) return linear_one_row(product, group.x_row(0), group.out_row(0));
  const std::lock_guard lock(activations_mutex_);
  for_row_blocks(group.rows, [&](int64_t first, int64_t count) { linear_block(product, group.part(first, count)); });
}

void CpuBackend::linear_one_row(const Product& p, const float* x, int64_t out_row) noexcept {
  const int64_t whole = p.weight.panels(), in = p.in();
  const int64_t ways = p.grouped == nullptr ? std::max<int64_t>(2, level_.kernels.streams) : 1;
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    alignas(64) float sums[kMostStreams * kPanelRows];
    for (int64_t item = begin, number = 1; item < end; item += number) {
      number = 1;
      if (item < whole && p.grouped != nullptr) {
        std::fill(sums, sums + kPanelRows, 0.0f);
        for (int64_t k = 0; k < in; k += GroupRoom::kColumns) {
          GroupRoom room;
          p.grouped->gemv(p.weight.piece(item, k, std::min(GroupRoom::kColumns, in - k), room), x + k, sums);
        }
        p.finish(out_row, item, sums);
      } else if (item < whole) {
        number = std::min({ways, end - item, whole - item});
        const std::byte* panels[kMostStreams];
        for (int64_t i = 0; i < number; ++i) panels[i] = p.weight.panel(in_streams(item + i, whole, ways));
        p.kernels.gemv(panels, number, in / p.weight.block_size(), x, sums);
        for (int64_t i = 0; i < number; ++i) {
          p.finish(out_row, in_streams(item + i, whole, ways), sums + i * kPanelRows);
        }
      } else {  // a panel of plain rows
        std::fill(sums, sums + kPanelRows, 0.0f);
        for (int64_t k = 0; k < in; k += kUnpackColumns) {
          const int64_t columns = std::min(kUnpackColumns, in - k);
          const float* const w = p.decode(item, k, columns, scratch(worker));
          level_.kernels.gemm(w, kPanelRows, x + k, columns, 1, sums, kPanelRows, true);
        }
        p.finish(out_row, item, sums);
      }
    }
  };
  pool_.parallel_for(p.panels(), grain(kStreamWork, in * kPanelRows), std::ref(body), ways);
}

void CpuBackend::linear_block(const Product& p, const RowGroup& group) noexcept {
  const int64_t rows = group.rows, in = p.in(), tile = level_.kernels.row_tile;
  auto* const packed = reinterpret_cast<float*>(activations_.data());
  // Row tile at row r: [in, rows of the tile], from packed + r * in on.
  const auto gather = [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin * tile; r < std::min(end * tile, rows); r += tile) {
      const int64_t count = std::min(tile, rows - r);
      const float* from[kMaxRowTile];
      for (int64_t i = 0; i < count; ++i) from[i] = group.x_row(r + i);
      constexpr int64_t kLine = 16;  // floats: rows that lie a power of two apart fight for the same cache sets
      for (int64_t k = 0; k < in; k += kLine) {
        for (int64_t i = 0; i < count; ++i) {
          for (int64_t c = k; c < std::min(k + kLine, in); ++c) packed[r * in + c * count + i] = from[i][c];
        }
      }
    }
  };
  const int64_t tiles = (rows + tile - 1) / tile;
  pool_.parallel_for(tiles, rows * in <= kOneRowWork ? tiles : 1, std::ref(gather));

  const auto body = [&](int64_t begin, int64_t end, int worker) {
    float* const room = scratch(worker);
    float* const sums = room + kUnpackColumns * kPanelRows;
    for (int64_t panel = begin; panel < end; ++panel) {
      if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
      for (int64_t k = 0; k < in; k += kUnpackColumns) {
        const int64_t columns = std::min(kUnpackColumns, in - k);
        const float* const w = p.decode(panel, k, columns, room);
        for (int64_t r = 0; r < rows; r += tile) {
          const int64_t count = std::min(tile, rows - r);
          level_.kernels.gemm(w, kPanelRows, packed + r * in + k * count, columns, count, sums + r * kPanelRows,
                              kPanelRows, k > 0);
        }
      }
      for (int64_t r = 0; r < rows; ++r) p.finish(group.out_row(r), panel, sums + r * kPanelRows);
    }
  };
  const int64_t work = in * kPanelRows * rows;
  pool_.parallel_for(p.panels(), grain(kBlockWork, work), std::ref(body));
}

}  // namespace duet
