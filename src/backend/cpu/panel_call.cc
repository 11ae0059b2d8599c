// Rows as the products want them: normed where they are to be, rounded for the native arithmetic (docs/numerics.md), in
// row tiles for several rows of float32.
#include "backend/cpu/panel_call.h"

#include <algorithm>

#include "base/check.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

/// Elements that are rounded in 2 us: worth handing out.
constexpr int64_t kRoundWork = 4096;
/// Columns of a row that are normed, or handed out, at once; whole blocks.
constexpr int64_t kPieceColumns = 1024;

}  // namespace

CpuBackend::PanelCall::PanelCall(CpuBackend& backend, std::span<const RowGroup> groups, const LinearInput& input)
    : backend_(backend),
      kernels_(backend.level_.kernels),
      groups_(groups),
      input_(input),
      free_(backend.activations_.data()) {
  DUET_CHECK(groups.size() <= kMostGroups && (groups.size() == 1 || !input.norm.defined()));
  std::fill_n(ready_.begin(), groups.size(), Ready{});
  if (input_.norm.defined() && groups.front().rows == 1 && groups.front().any(Activations::kF32)) {
    normed_ = groups.front();
    const int64_t in = normed_.in();
    float* const row = input_.room.f32() + normed_.first_row * in;
    backend_.norm_row(normed_.x_row(0), input_.norm.f32(), input_.eps, in, row);
    normed_.x = input_.room.f32();
    input_ = LinearInput(input_.room);
    groups_ = {&normed_, 1};
  }
  for (const RowGroup& group : groups_) most_rows_ = std::max(most_rows_, group.rows);
}

void CpuBackend::PanelCall::follow(const PanelCall& before) {
  free_ = before.free_;
  for (size_t g = 0; g < groups_.size(); ++g) ready_[g].rounded = before.ready_[g].result;
}

int64_t CpuBackend::PanelCall::pieces_of_row(const RowGroup& group) const {
  const bool whole = input_.norm.defined();  // a norm's sum is of all columns
  return whole ? std::min<int64_t>(1, group.in()) : (group.in() + kPieceColumns - 1) / kPieceColumns;
}

void CpuBackend::PanelCall::place_rows() {
  const auto take = [&](int64_t bytes) {
    std::byte* const place = free_;
    free_ += bytes;
    return place;
  };
  int64_t rounded_rows = 0, columns = 0;
  const RowGroup* rounded = nullptr;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const RowGroup& group = groups_[g];
    Ready& ready = ready_[g];
    columns = std::max(columns, group.in());
    if (ready.rounded != nullptr || !group.any(Activations::kNative)) continue;
    if (shares(g) && ready_[g - 1].rounded != nullptr) {
      ready.rounded = ready_[g - 1].rounded;
      continue;
    }
    const int64_t blocks = group.rows * (group.in() / kIntegerColumns);
    ready.rounded = reinterpret_cast<NativeBlock*>(take(blocks * static_cast<int64_t>(sizeof(NativeBlock))));
    ready.rounds = true;
    rounded = &group;
    rounded_rows += group.rows;
    rounding_.count += group.rows * pieces_of_row(group);
  }
  if (rounded_rows == 1 && backend_.pool_.threads() > 1 &&
      columns <= (input_.norm.defined() ? kOwnNormedColumns : kOwnColumns)) {
    own_ = rounded;
    rounding_.count = 0;
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    const RowGroup& group = groups_[g];
    if (group.rows == 1 || !group.any(Activations::kF32)) continue;
    ready_[g].tiled = reinterpret_cast<float*>(take(group.rows * group.in() * static_cast<int64_t>(sizeof(float))));
    tiling_.count += (group.rows + kernels_.row_tile - 1) / kernels_.row_tile * pieces_of_row(group);
  }
  const int64_t most_parts = backend_.ready_parts_.most() / 2;
  const auto cut = [&](Pieces& pieces, int64_t rows_of_piece) {
    const int64_t step = input_.norm.defined() ? columns : std::min(columns, kPieceColumns);
    pieces.of_part = std::max(grain(kRoundWork, rows_of_piece * step), (pieces.count + most_parts - 1) / most_parts);
  };
  cut(rounding_, 1);
  cut(tiling_, std::min(most_rows_, kernels_.row_tile));
}

void CpuBackend::PanelCall::round_columns(const RowGroup& group, int64_t i, int64_t begin, int64_t end, int64_t stride,
                                          NativeBlock* out) const {
  const float* const x = group.x_row(i);
  if (!input_.norm.defined()) {
    kernels_.native_round(x + begin, (end - begin) / kIntegerColumns, stride, out);
    return;
  }
  alignas(64) float normed[kPieceColumns];
  const float factor = backend_.norm_factor(x, input_.eps, group.in());
  for (int64_t k = begin; k < end; k += kPieceColumns) {
    const int64_t columns = std::min(kPieceColumns, end - k);
    kernels_.scale_row(x + k, factor, input_.norm.f32() + k, normed, columns);
    kernels_.native_round(normed, columns / kIntegerColumns, stride, out + (k - begin) / kIntegerColumns * stride);
  }
}

void CpuBackend::PanelCall::round_pieces(int64_t begin, int64_t end) const {
  int64_t before = 0;
  for (size_t g = 0; g < groups_.size() && before < end; ++g) {
    if (!ready_[g].rounds) continue;
    const RowGroup& group = groups_[g];
    const RoundedGroup rounded = rounded_group(ready_[g].rounded, group.rows);
    const int64_t in = group.in(), blocks = in / kIntegerColumns, pieces = pieces_of_row(group);
    const int64_t last = std::min(end - before, group.rows * pieces);
    for (int64_t i = std::max<int64_t>(0, begin - before), t = 0; i < last; ++i) {
      const int64_t r = i / pieces, k = i % pieces * kPieceColumns;
      while (rounded.first_of(t + 1) <= r) ++t;
      const int64_t first = rounded.first_of(t), height = rounded.first_of(t + 1) - first;
      round_columns(group, r, k, pieces == 1 ? in : std::min(k + kPieceColumns, in), height,
                    rounded.x + first * blocks + k / kIntegerColumns * height + (r - first));
    }
    before += group.rows * pieces;
  }
}

void CpuBackend::PanelCall::tile_pieces(int64_t begin, int64_t end) const {
  int64_t before = 0;
  const int64_t tile = kernels_.row_tile;
  for (size_t g = 0; g < groups_.size() && before < end; ++g) {
    if (ready_[g].tiled == nullptr) continue;
    const RowGroup& group = groups_[g];
    const int64_t in = group.in(), pieces = pieces_of_row(group), count = (group.rows + tile - 1) / tile * pieces;
    for (int64_t i = std::max<int64_t>(0, begin - before); i < std::min(end - before, count); ++i) {
      const int64_t r = i / pieces * tile, height = std::min(tile, group.rows - r);
      const int64_t first = i % pieces * kPieceColumns, last = pieces == 1 ? in : std::min(first + kPieceColumns, in);
      const float* from[kMaxRowTile];
      for (int64_t j = 0; j < height; ++j) {
        from[j] = group.x_row(r + j);
        if (!input_.norm.defined()) continue;
        float* const row = input_.room.f32() + (group.first_row + r + j) * in;
        backend_.norm_row(from[j], input_.norm.f32(), input_.eps, in, row);
        from[j] = row;
      }
      float* const to = ready_[g].tiled + r * in;
      constexpr int64_t kLine = 16;  // floats: rows that lie a power of two apart fight for the same cache sets
      for (int64_t k = first; k < last; k += kLine) {
        for (int64_t j = 0; j < height; ++j) {
          for (int64_t c = k; c < std::min(k + kLine, last); ++c) to[c * height + j] = from[j][c];
        }
      }
    }
    before += count;
  }
}

/// What a thread needs of a few rows that comes from other cores, or from far.
void CpuBackend::PanelCall::fetch_rows() const {
  if (own_ != nullptr) {
    const int64_t bytes = own_->in() * static_cast<int64_t>(sizeof(float));
    fetch_lines(own_->x_row(0), bytes);
    if (input_.norm.defined()) fetch_lines(input_.norm.f32(), bytes);
  } else if (rounding_.count == 0) {
    for (size_t g = 0; g < groups_.size(); ++g) {
      const int64_t blocks = groups_[g].rows * (groups_[g].in() / kIntegerColumns);
      if (ready_[g].rounded != nullptr) {
        fetch_lines(ready_[g].rounded, blocks * static_cast<int64_t>(sizeof(NativeBlock)));
      }
    }
  }
}

void CpuBackend::PanelCall::make_ready(int worker) const {
  if (own_ != nullptr) round_columns(*own_, 0, 0, own_->in(), 1, own_row(worker));
  const int64_t rounding = rounding_.parts(), parts = rounding + tiling_.parts();
  if (parts == 0) return;
  backend_.ready_parts_.need_all([&](int64_t part) {
    if (part < rounding) {
      round_pieces(part * rounding_.of_part, (part + 1) * rounding_.of_part);
    } else {
      tile_pieces((part - rounding) * tiling_.of_part, (part - rounding + 1) * tiling_.of_part);
    }
  });
}

}  // namespace duet
