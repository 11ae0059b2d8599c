#include <algorithm>
#include <array>

#include "backend/cpu/panel_call.h"
#include "backend/limits.h"

namespace duet {

// A block of rows for float32 and for the native arithmetic: a product may have terms of both. What run_gated() rounds
// has less columns than these together.
int64_t cpu_activation_bytes(int64_t columns) {
  return kBlockRows * (columns * static_cast<int64_t>(sizeof(float)) +
                       columns / kIntegerColumns * static_cast<int64_t>(sizeof(NativeBlock)));
}

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
  std::array<const LinearTerm*, kMaxLinearTerms> all = {};
  std::transform(terms.begin(), terms.end(), all.begin(), [](const LinearTerm& term) { return &term; });
  RowGroup group{input.source.f32(), 0, input.source.dim(0)};
  group.terms = std::span(all).first(terms.size());
  const std::lock_guard lock(activations_mutex_);
  for_row_blocks(group.rows, [&](int64_t first, int64_t count) {
    const RowGroup block = group.part(first, count);
    PanelCall(*this, {&block, 1}, input).run();
  });
}

void CpuBackend::swiglu(const LinearInput& input, const LinearTerm& gate, const LinearTerm& up, const LinearTerm& down,
                        Tensor row_gates) noexcept {
  const bool native = is_native(down);
  if (is_native(gate) != native || is_native(up) != native) {
    return Backend::swiglu(input, gate, up, down, row_gates);
  }
  const LinearTerm* const terms[] = {&gate, &up};
  const LinearTerm* const last[] = {&down};
  const std::lock_guard lock(activations_mutex_);
  for_row_blocks(input.source.dim(0), [&](int64_t first, int64_t count) {
    RowGroup group{input.source.f32(), first, count};
    group.terms = terms;
    group.row_gates = row_gates.f32();
    PanelCall gated(*this, {&group, 1}, input);
    gated.run_gated(native);
    RowGroup results{gate.out.f32(), first, count};
    results.terms = last;
    PanelCall products(*this, {&results, 1}, gate.out);
    if (native) products.follow(gated);
    products.run();
  });
}

}  // namespace duet
