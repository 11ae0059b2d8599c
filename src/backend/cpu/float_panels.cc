// The products of linear() in the arithmetic `f32`: one row straight from packed panels, several from a decoded part
// that all row tiles share.
#include <algorithm>

#include "backend/cpu/panel_call.h"

namespace duet {

void CpuBackend::PanelCall::multiply_row(const Product& p, const float* x, const int64_t* panels, int64_t number,
                                         int worker, float* sums) const {
  const int64_t in = p.in();
  if (panels[0] >= p.weight.panels()) {  // of plain rows
    std::fill(sums, sums + kPanelRows, 0.0f);
    for (int64_t k = 0; k < in; k += kUnpackColumns) {
      const int64_t columns = std::min(kUnpackColumns, in - k);
      const float* const w = p.decode(panels[0], k, columns, backend_.scratch(worker));
      kernels_.gemm(w, kPanelRows, x + k, columns, 1, sums, kPanelRows, true);
    }
  } else if (p.grouped != nullptr) {
    std::fill(sums, sums + kPanelRows, 0.0f);
    for (int64_t k = 0; k < in; k += GroupRoom::kColumns) {
      GroupRoom room;
      p.grouped->gemv(p.weight.piece(panels[0], k, std::min(GroupRoom::kColumns, in - k), room), x + k, sums);
    }
  } else {
    const std::byte* from[kMostStreams];
    for (int64_t i = 0; i < number; ++i) from[i] = p.weight.panel(panels[i]);
    p.kernels.gemv(from, number, in / p.weight.block_size(), x, sums);
  }
}

void CpuBackend::PanelCall::multiply_tiled(const Product& p, size_t g, int64_t panel, int worker, float* sums) const {
  const int64_t rows = groups_[g].rows, in = p.in(), tile = kernels_.row_tile;
  if (in == 0) std::fill(sums, sums + rows * kPanelRows, 0.0f);
  for (int64_t k = 0; k < in; k += kUnpackColumns) {
    const int64_t columns = std::min(kUnpackColumns, in - k);
    const float* const w = p.decode(panel, k, columns, backend_.scratch(worker));
    for (int64_t r = 0; r < rows; r += tile) {
      const int64_t height = std::min(tile, rows - r);
      kernels_.gemm(w, kPanelRows, ready_[g].tiled + r * in + k * height, columns, height, sums + r * kPanelRows,
                    kPanelRows, k > 0);
    }
  }
}

}  // namespace duet
