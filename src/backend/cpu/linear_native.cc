// linear() in the native arithmetic (docs/numerics.md): activations are normed where they are to be and rounded once,
// then every panel is multiplied (native_panels.cc).
#include <algorithm>
#include <functional>

#include "backend/cpu/native_call.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

/// Elements that are rounded in 2 us: worth handing out.
constexpr int64_t kRoundWork = 4096;
/// Columns of a row that are normed, or handed out, at once; whole blocks.
constexpr int64_t kPieceColumns = 1024;
/// Bytes of weights that a thread asks for before it rounds its row.
constexpr int64_t kFirstBytes = 6144;

}  // namespace

void CpuBackend::NativeCall::round_columns(const RowGroup& group, int64_t i, int64_t begin, int64_t end, int64_t stride,
                                           NativeBlock* out) const {
  const float* const x = group.x_row(i);
  if (!norm) {
    kernels.native_round(x + begin, (end - begin) / kIntegerColumns, stride, out);
    return;
  }
  alignas(64) float normed[kPieceColumns];
  const float factor = backend.norm_factor(x, input.eps, in);
  for (int64_t k = begin; k < end; k += kPieceColumns) {
    const int64_t columns = std::min(kPieceColumns, end - k);
    kernels.scale_row(x + k, factor, input.norm.f32() + k, normed, columns);
    kernels.native_round(normed, columns / kIntegerColumns, stride, out + (k - begin) / kIntegerColumns * stride);
  }
}

void CpuBackend::NativeCall::round_all(int64_t rows) const {
  // The sum of a norm is of a whole row, which is then one piece.
  const int64_t step = norm ? in : std::min(in, kPieceColumns);
  const int64_t pieces = in == 0 ? 0 : (in + step - 1) / step;  // of a row
  const auto round = [&](int64_t begin, int64_t end, int) {
    int64_t before = 0;
    each_group([&](size_t g, const RoundedGroup& rounded) {
      if (shares(g)) return;
      const int64_t last = std::min(end - before, groups[g].rows * pieces);
      for (int64_t i = std::max<int64_t>(0, begin - before), t = 0; i < last; ++i) {
        const int64_t r = i / pieces, k = i % pieces * step;
        while (rounded.first_of(t + 1) <= r) ++t;
        const int64_t first = rounded.first_of(t), count = rounded.first_of(t + 1) - first;
        round_columns(groups[g], r, k, std::min(k + step, in), count,
                      rounded.x + first * blocks + k / kIntegerColumns * count + (r - first));
      }
      before += groups[g].rows * pieces;
    });
  };
  backend.pool_.parallel_for(rows * pieces, grain(kRoundWork, step), std::ref(round));
}

NativeBlock* CpuBackend::NativeCall::row_of(int worker, int64_t item) const {
  NativeBlock* const x =
      rounds_own_row ? reinterpret_cast<NativeBlock*>(backend.scratch(worker) + kOwnBlocks) : rounded_in;
  uint64_t& call = backend.begun_[static_cast<size_t>(worker)].call;
  if (call == backend.call_) return x;
  call = backend.call_;
  const RowGroup& group = groups.front();
  const int64_t bytes = in * static_cast<int64_t>(sizeof(float));
  if (rounds_own_row) {  // what comes from other cores, or from far
    fetch_lines(group.x_row(0), bytes);
    if (norm) fetch_lines(input.norm.f32(), bytes);
  } else {
    fetch_lines(x, blocks * static_cast<int64_t>(sizeof(NativeBlock)));
  }
  const auto fetch = [](const Product& p, int64_t panel, int64_t share) {
    if (panel < p.weight.panels()) fetch_lines<FetchFor::kReading, 2>(p.weight.panel(panel), kFirstBytes / share);
  };
  if (rounded_out != nullptr) {
    const Product gate = backend.product_of(*group.terms[0]), up = backend.product_of(*group.terms[1]);
    const int64_t ways = blocks_at_once(1), last = gate.outputs() / kIntegerColumns;
    for (int64_t i = item; i < std::min(item + ways, last); ++i) {
      const int64_t panel = kPanelsOfBlock * block_of(gate, up, 1, i);
      fetch(gate, panel, 2 * ways);
      fetch(up, panel, 2 * ways);
    }
  } else {
    for (const LinearTerm* term : group.terms) {
      const Product p = backend.product_of(*term);
      for (int64_t i = item; i < std::min(item + kernels.streams, p.panels()); ++i) {
        fetch(p, panel_of(p, 1, i), kernels.streams);
      }
      if (item < p.panels()) break;
      item -= p.panels();
    }
  }
  if (rounds_own_row) round_columns(group, 0, 0, in, 1, x);
  return x;
}

void CpuBackend::NativeCall::run() {
  int64_t rows_to_round = 0, items = 0, most_rows = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!shares(g)) rows_to_round += groups[g].rows;
    items += items_of(groups[g]);
    most_rows = std::max(most_rows, groups[g].rows);
  }
  ++backend.call_;
  if (!rounds_own_row && rounded_in == nullptr) round_all(rows_to_round);
  const bool alone = rounds_own_row || (rounded_in != nullptr && most_rows == 1);

  const auto body = [&](int64_t begin, int64_t end, int worker) {
    NativeBlock* const row = alone ? row_of(worker, begin) : nullptr;
    backend.expected_.fetch(begin, end, items);
    int64_t first = 0;
    each_group([&](size_t g, RoundedGroup rounded) {
      if (first >= end) return;
      if (alone) rounded.x = row;
      const RowGroup& group = groups[g];
      if (rounded_out != nullptr) return multiply_gated(group, rounded, begin, end, worker);
      for (const LinearTerm* term : group.terms) {
        const Product p = backend.product_of(*term);
        multiply_panels(p, group, rounded, std::max<int64_t>(begin - first, 0), std::min(end - first, p.panels()),
                        worker);
        first += p.panels();
      }
    });
  };
  const int64_t work = in * kPanelRows * (rounded_out != nullptr ? 2 * kPanelsOfBlock : 1);
  if (panels_at_once(most_rows) > 1 && all_direct()) {
    const int64_t at_once = rounded_out != nullptr ? blocks_at_once(most_rows) : panels_at_once(most_rows);
    backend.pool_.parallel_for(items, grain(kStreamWork, work), std::ref(body), at_once);
  } else {
    // Each chunk walks over the groups to its place: of many experts it takes at least as many panels.
    const int64_t least = grain(most_rows == 1 ? kOneRowWork : kBlockWork, work * most_rows);
    backend.pool_.parallel_for(items, std::max(least, static_cast<int64_t>(groups.size())), std::ref(body));
  }
  backend.expected_.clear();
}

void CpuBackend::linear_native(std::span<const RowGroup> groups, const LinearInput& input) noexcept {
  NativeCall{*this, groups, input}.run();
}

void CpuBackend::swiglu(const LinearInput& input, const LinearTerm& gate, const LinearTerm& up,
                        const LinearTerm& down) noexcept {
  const LinearTerm* const terms[] = {&gate, &up};
  const LinearTerm* const last[] = {&down};
  if (!is_native(gate) || !is_native(up) || !is_native(down)) return Backend::swiglu(input, gate, up, down);
  const int64_t blocks = gate.weight->cols() / kIntegerColumns;
  // Both rounded inputs lie in the buffer of activations, which has room for float32, one behind the other.
  static_assert(2 * sizeof(NativeBlock) <= kIntegerColumns * sizeof(float));
  const std::lock_guard lock(activations_mutex_);
  for_row_blocks(input.source.dim(0), [&](int64_t first, int64_t count) {
    auto* const between = reinterpret_cast<NativeBlock*>(activations_.data()) + blocks * count;
    RowGroup group{input.source.f32(), first, count};
    group.terms = terms;
    NativeCall{*this, {&group, 1}, input, /*rounded_out=*/between}.run();
    const LinearInput products(gate.out);
    group.x = gate.out.f32();  // not read: its rounded form is
    group.terms = last;
    NativeCall{*this, {&group, 1}, products, nullptr, /*rounded_in=*/between}.run();
  });
}

}  // namespace duet
