#pragma once

#include <algorithm>

#include "backend/cpu/cpu_backend.h"

namespace duet {

/// What one call of linear() multiplies.
struct CpuBackend::Product {
  const float* x;  // [rows, in]
  const CpuPackedWeight& weight;
  const TypeKernels& kernels;
  const float* bias;  // [out] or null
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
    const std::byte* const groups = weight.panel(p) + weight.group_offset(begin);
    if (weight.dtype() == DType::kF32) return reinterpret_cast<const float*>(groups);
    kernels.unpack(groups, columns / weight.block_size(), room);
    return room;
  }

  /// Chains of panel p for one row, with bias and the sum with out as the last steps.   sums [16]
  void finish(int64_t row, int64_t p, const float* sums) const {
    const int64_t first = p * kPanelRows, lanes = std::min(kPanelRows, outputs() - first);
    float* const to = out + row * outputs() + first;
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

}  // namespace duet
