// The loops of PanelCall over the panels of terms one by one, and of a gate and its up.
#include <algorithm>

#include "backend/cpu/panel_call.h"
#include "base/check.h"
#include "base/fetch_line.h"

namespace duet {
namespace {

/// Bytes of weights that a thread asks for before it makes its row ready.
constexpr int64_t kFirstBytes = 6144;

}  // namespace

int64_t CpuBackend::PanelCall::ways(const Product& p) const {
  if (most_rows_ > 1 || p.grouped != nullptr) return 1;
  if (is_native(p.weight)) return is_direct(p, 1) ? kernels_.streams : 1;
  return std::max<int64_t>(2, kernels_.streams);
}

int64_t CpuBackend::PanelCall::blocks_at_once(const Product& gate, const Product& up) const {
  const bool packed = gate.weight.panels() == gate.panels() && up.weight.panels() == up.panels();
  const bool whole = gate.outputs() % kIntegerColumns == 0;
  return packed && whole ? std::max<int64_t>(1, std::min(ways(gate), ways(up)) / 2) : 1;
}

void CpuBackend::PanelCall::fetch_panel(const Product& p, int64_t panel, int64_t shares) const {
  if (panel < p.weight.panels()) fetch_lines<FetchFor::kReading, 2>(p.weight.panel(panel), kFirstBytes / shares);
}

void CpuBackend::PanelCall::multiply(const Product& p, size_t g, const int64_t* panels, int64_t number, int worker,
                                     float* sums) const {
  const int64_t rows = groups_[g].rows;
  if (!is_native(p.weight)) {
    if (rows == 1) return multiply_row(p, groups_[g].x_row(0), panels, number, worker, sums);
    return multiply_tiled(p, g, panels[0], worker, sums);
  }
  const RoundedGroup rounded = rounded_group(rounded_rows(g, worker), rows);
  if (!is_direct(p, rows) || panels[0] >= p.weight.panels()) {
    return multiply_expanded(p, rounded, panels[0], worker, sums);
  }
  const std::byte* from[kMostStreams];
  for (int64_t i = 0; i < number; ++i) from[i] = p.weight.panel(panels[i]);
  multiply_direct(p, from, number, rounded, sums);
}

void CpuBackend::PanelCall::run() {
  place_rows();
  int64_t items = 0, at_once = 1, in = 0;
  for (const RowGroup& group : groups_) {
    in = std::max(in, group.in());
    for (const LinearTerm* term : group.terms) {
      const Product p = backend_.product_of(*term);
      items += p.panels();
      at_once = std::max(at_once, ways(p));
    }
  }
  // each(g, product, first item, last item) for all that lie in [begin, end).
  const auto each_product = [&](int64_t begin, int64_t end, const auto& each) {
    int64_t first = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (const LinearTerm* term : groups_[g].terms) {
        if (first >= end) return;
        const Product p = backend_.product_of(*term);
        const int64_t from = std::max<int64_t>(begin - first, 0), to = std::min(end - first, p.panels());
        if (from < to) each(g, p, from, to);
        first += p.panels();
      }
    }
  };
  const auto fetch = [&](int64_t item) {
    each_product(item, item + at_once, [&](size_t, const Product& p, int64_t begin, int64_t end) {
      const int64_t packed = p.weight.panels(), side = ways(p);
      for (int64_t i = begin; i < end; ++i) {
        if (i < packed) fetch_panel(p, in_streams(i, packed, side), at_once);
      }
    });
  };
  loop(items, in * kPanelRows, at_once, fetch, [&](int64_t begin, int64_t end, int worker) {
    each_product(begin, end, [&](size_t g, const Product& p, int64_t from, int64_t to) {
      multiply_panels(p, g, from, to, worker);
    });
  });
}

/// Between one packed panel and the next few rows meet nothing but the kernel, so that a step of one sequence reads as
/// fast as memory gives.
void CpuBackend::PanelCall::multiply_panels(const Product& p, size_t g, int64_t begin, int64_t end, int worker) const {
  const RowGroup& group = groups_[g];
  const int64_t rows = group.rows, packed = p.weight.panels(), at_once = ways(p);
  float* const sums = backend_.scratch(worker) + kPartRoom;
  for (int64_t item = begin, number = 1; item < end; item += number) {
    number = item < packed ? std::min({at_once, end - item, packed - item}) : 1;
    int64_t panels[kMostStreams];
    for (int64_t i = 0; i < number; ++i) {
      panels[i] = item < packed ? in_streams(item + i, packed, at_once) : item;
      if (rows > kernels_.native_tile) continue;
      for (int64_t r = 0; r < rows; ++r) p.fetch_place(group.out_row(r), panels[i]);
    }
    multiply(p, g, panels, number, worker, sums);
    for (int64_t i = 0; i < number; ++i) {
      for (int64_t r = 0; r < rows; ++r) p.finish(group.out_row(r), panels[i], sums + (i * rows + r) * kPanelRows);
    }
  }
}

void CpuBackend::PanelCall::run_gated(bool rounded) {
  place_rows();
  rounded_result_ = rounded;
  int64_t items = 0, at_once = 1, in = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const RowGroup& group = groups_[g];
    const Product gate = backend_.product_of(*group.terms[0]), up = backend_.product_of(*group.terms[1]);
    items += blocks_of(group);
    in = std::max(in, group.in());
    at_once = std::max(at_once, blocks_at_once(gate, up));
    if (!rounded) continue;
    DUET_CHECK(gate.outputs() % kIntegerColumns == 0);
    ready_[g].result = reinterpret_cast<NativeBlock*>(free_);
    free_ += group.rows * blocks_of(group) * static_cast<int64_t>(sizeof(NativeBlock));
  }
  const auto each_group = [&](int64_t begin, int64_t end, const auto& each) {
    int64_t first = 0;
    for (size_t g = 0; g < groups_.size() && first < end; ++g) {
      const int64_t blocks = blocks_of(groups_[g]);
      const int64_t from = std::max<int64_t>(begin - first, 0), to = std::min(end - first, blocks);
      if (from < to) each(g, from, to);
      first += blocks;
    }
  };
  const auto fetch = [&](int64_t item) {
    each_group(item, item + at_once, [&](size_t g, int64_t begin, int64_t end) {
      const RowGroup& group = groups_[g];
      const Product gate = backend_.product_of(*group.terms[0]), up = backend_.product_of(*group.terms[1]);
      const int64_t side = blocks_at_once(gate, up);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t panel = kPanelsOfBlock * in_streams(i, blocks_of(group), side);
        fetch_panel(gate, panel, 2 * at_once);
        fetch_panel(up, panel, 2 * at_once);
      }
    });
  };
  loop(items, in * kPanelRows * 2 * kPanelsOfBlock, at_once, fetch, [&](int64_t begin, int64_t end, int worker) {
    each_group(begin, end, [&](size_t g, int64_t from, int64_t to) { multiply_gated(g, from, to, worker); });
  });
}

void CpuBackend::PanelCall::multiply_pair(const Product& gate, const Product& up, size_t g, const int64_t* panels,
                                          int64_t number, int worker, float* sums) const {
  const bool alike = &gate.kernels == &up.kernels && is_native(gate.weight) == is_native(up.weight);
  const bool packed = panels[0] < gate.weight.panels() && panels[0] < up.weight.panels();
  if (!alike || !packed || std::min(ways(gate), ways(up)) < 2 * number) {
    multiply(gate, g, panels, number, worker, sums);
    return multiply(up, g, panels, number, worker, sums + number * kPanelRows);
  }
  const std::byte* from[kMostStreams];
  for (int64_t i = 0; i < number; ++i) {
    from[i] = gate.weight.panel(panels[i]), from[number + i] = up.weight.panel(panels[i]);
  }
  if (is_native(gate.weight)) {
    multiply_direct(gate, from, 2 * number, rounded_group(rounded_rows(g, worker), 1), sums);
  } else {
    gate.kernels.gemv(from, 2 * number, gate.in() / gate.weight.block_size(), groups_[g].x_row(0), sums);
  }
}

void CpuBackend::PanelCall::multiply_gated(size_t g, int64_t begin, int64_t end, int worker) const {
  const RowGroup& group = groups_[g];
  const Product gate = backend_.product_of(*group.terms[0]), up = backend_.product_of(*group.terms[1]);
  const int64_t rows = group.rows, at_once = blocks_at_once(gate, up);
  // Results of both halves, then, of a single row, gates and ups of one half. Of several rows a half's gates become its
  // results.
  float* const made = backend_.scratch(worker) + kPartRoom;
  for (int64_t item = begin; item < end; item += at_once) {
    const int64_t number = std::min(at_once, end - item), size = number * rows * kPanelRows;
    DUET_CHECK((rows == 1 ? 4 : 3) * size <= kSumsRoom);
    const auto block_at = [&](int64_t i) { return in_streams(item + i, blocks_of(group), at_once); };
    for (int64_t half = 0; half < kPanelsOfBlock; ++half) {
      int64_t panels[kMostStreams];
      for (int64_t i = 0; i < number; ++i) panels[i] = kPanelsOfBlock * block_at(i) + half;
      float* const result = made + half * size;
      if (panels[0] >= gate.panels()) {
        std::fill(result, result + size, 0.0f);
        continue;
      }
      float *gates = made + kPanelsOfBlock * size, *ups = gates + size;
      if (rows == 1) {
        multiply_pair(gate, up, g, panels, number, worker, gates);
      } else {
        gates = result, ups = made + kPanelsOfBlock * size;
        multiply(gate, g, panels, number, worker, gates);
        multiply(up, g, panels, number, worker, ups);
      }
      for (int64_t i = 0; i < number; ++i) {
        gate.add_bias(panels[i], rows, gates + i * rows * kPanelRows);
        up.add_bias(panels[i], rows, ups + i * rows * kPanelRows);
      }
      kernels_.silu_mul(gates, ups, result, size);
    }
    for (int64_t i = 0; i < number; ++i) keep_gated(g, block_at(i), made + i * rows * kPanelRows, size);
  }
}

void CpuBackend::PanelCall::keep_gated(size_t g, int64_t block, const float* halves, int64_t half_stride) const {
  const RowGroup& group = groups_[g];
  const int64_t columns = group.terms[0]->weight->rows(), blocks = blocks_of(group);
  const RoundedGroup result = rounded_group(ready_[g].result, group.rows);
  for (int64_t t = 0; t < result.tiles; ++t) {
    const int64_t first = result.first_of(t), height = result.first_of(t + 1) - first;
    for (int64_t r = first; r < first + height; ++r) {
      alignas(64) float row[kIntegerColumns];
      for (int64_t half = 0; half < kPanelsOfBlock; ++half) {
        std::copy_n(halves + half * half_stride + r * kPanelRows, kPanelRows, row + half * kPanelRows);
      }
      if (group.row_gates != nullptr) {
        backend_.scale_by_sigmoid(row, group.row_gates[group.first_row + r], row, kIntegerColumns);
      }
      if (rounded_result_) {
        kernels_.native_round(row, 1, 1, result.x + first * blocks + block * height + (r - first));
      } else {
        const int64_t at = block * kIntegerColumns;
        std::copy_n(row, std::min(kIntegerColumns, columns - at),
                    group.terms[0]->out.f32() + group.out_row(r) * columns + at);
      }
    }
  }
}

}  // namespace duet
