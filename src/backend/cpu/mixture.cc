// The products of a mixture of experts: each expert by the rows that chose it, all experts in one loop.
#include <algorithm>
#include <array>
#include <vector>

#include "backend/cpu/expert_rows.h"
#include "backend/cpu/panel_call.h"

namespace duet {

void CpuBackend::grouped_linear(Tensor x, Tensor ids, std::span<const GroupedTerm> terms) noexcept {
  const std::lock_guard lock(activations_mutex_);
  ExpertRows& order = *experts_;
  const size_t experts = terms.front().experts.size();
  order.sort(ids, experts, x.shape.rank() == 3);
  order.begin(std::min(experts, order.slots.size()), terms.size());
  order.add_experts(x.f32(), order.x_rows, terms);
  std::vector<RowGroup> waiting;  // as many at once as the buffer of activations holds
  int64_t rows = 0;
  const auto flush = [&] {
    if (!waiting.empty()) PanelCall(*this, waiting, x).run();
    waiting.clear();
    rows = 0;
  };
  for (const RowGroup& group : order.groups) {
    for_row_blocks(group.rows, [&](int64_t first, int64_t count) {
      if (rows + count > kBlockRows) flush();
      waiting.push_back(group.part(first, count));
      rows += count;
    });
  }
  flush();
}

void CpuBackend::mixture(const Mixture& m) noexcept {
  const int64_t tokens = m.ids.dim(0), top_k = m.ids.dim(1), slots = m.ids.elements();
  if (tokens == 0) return;
  const bool native = is_native(*m.down.experts.front());
  const auto other = [&](const PackedWeight& weight) { return is_native(weight) != native; };
  const bool shared = m.shared && std::none_of(m.shared->begin(), m.shared->end(),
                                               [&](const LinearTerm& term) { return other(*term.weight); });
  if (other(*m.gate.experts.front()) || other(*m.up.experts.front()) || slots + (shared ? tokens : 0) > kBlockRows) {
    return Backend::mixture(m);
  }
  {
    const std::lock_guard lock(activations_mutex_);
    ExpertRows& order = *experts_;
    order.sort(m.ids, m.gate.experts.size(), m.input.shape.rank() == 3);
    const size_t most = static_cast<size_t>(slots) + 1;
    const GroupedTerm gate_and_up[] = {m.gate, m.up};
    order.begin(most, 2);
    order.add_experts(m.input.f32(), order.x_rows, gate_and_up);
    if (shared) {
      order.add_term((*m.shared)[0]), order.add_term((*m.shared)[1]);
      RowGroup group{m.x.f32(), 0, tokens};
      group.row_gates = m.row_gates.f32();
      order.add_group(group, 2);
    }
    PanelCall gated(*this, order.groups, m.x);
    gated.run_gated(native);

    order.begin(most, 1);
    order.add_experts(m.gate.out.f32(), order.slots, {&m.down, 1});
    if (shared) {
      order.add_term((*m.shared)[2]);
      order.add_group({(*m.shared)[0].out.f32(), 0, tokens}, 1);
    }
    PanelCall products(*this, order.groups, m.x);
    if (native) products.follow(gated);
    products.run_mixed({top_k, m.weights.f32(), order.place_of.data(), shared, m.add_to});
  }
  if (m.shared && !shared) swiglu(m.x, (*m.shared)[0], (*m.shared)[1], (*m.shared)[2], m.row_gates);
}

void CpuBackend::PanelCall::run_mixed(const Mixing& mixing) {
  place_rows();
  const Product first = backend_.product_of(*groups_.front().terms.front());
  const int64_t panels = first.panels(), packed = first.weight.panels();
  int64_t rows = 0, work = 0, side = ways(first);
  for (const RowGroup& group : groups_) {
    const Product p = backend_.product_of(*group.terms.front());
    if (p.weight.panels() != packed || packed != panels) side = 1;
    side = std::min(side, ways(p));
    rows += group.rows;
    work += p.in() * kPanelRows;
  }
  const int64_t at_once = std::clamp<int64_t>(kSumsRoom / (rows * kPanelRows), 1, side);
  const auto panel_at = [&](int64_t item) { return at_once > 1 ? in_streams(item, panels, at_once) : item; };
  const auto fetch = [&](int64_t item) {
    for (int64_t i = item; i < std::min(item + at_once, panels); ++i) fetch_panel(first, panel_at(i), at_once);
  };
  loop(panels, work, at_once, fetch, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t item = begin; item < end; item += at_once) {
      const int64_t number = std::min(at_once, end - item);
      int64_t some[kMostStreams];
      for (int64_t i = 0; i < number; ++i) some[i] = panel_at(item + i);
      mix(mixing, some, number, worker);
    }
  });
}

void CpuBackend::PanelCall::mix(const Mixing& mixing, const int64_t* panels, int64_t number, int worker) const {
  float* const sums = backend_.scratch(worker) + kPartRoom;
  const int64_t hidden = mixing.add_to.dim(1), tokens = mixing.add_to.dim(0), top_k = mixing.top_k;
  int64_t place = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Product p = backend_.product_of(*groups_[g].terms.front());
    float* const own = sums + place * number * kPanelRows;
    multiply(p, g, panels, number, worker, own);
    for (int64_t i = 0; i < number; ++i) p.add_bias(panels[i], groups_[g].rows, own + i * groups_[g].rows * kPanelRows);
    place += groups_[g].rows;
  }
  // Panels go side by side only where all groups are of one row: then it is the row's place, too.
  const auto chains = [&](int64_t row, int64_t i) { return sums + (row * number + i) * kPanelRows; };
  for (int64_t i = 0; i < number; ++i) {
    const int64_t first = panels[i] * kPanelRows, lanes = std::min(kPanelRows, hidden - first);
    for (int64_t t = 0; t < tokens; ++t) {
      std::array<float, kPanelRows> sum = {};
      for (int64_t slot = t * top_k; slot < (t + 1) * top_k; ++slot) {
        const float weight = mixing.weights != nullptr ? mixing.weights[slot] : 1.0f;
        const float* const y = chains(mixing.place_of[slot], i);
        for (size_t lane = 0; lane < sum.size(); ++lane) sum[lane] += weight * y[lane];
      }
      float* const to = mixing.add_to.f32() + t * hidden + first;
      const float* const shared = mixing.shared ? chains(tokens * top_k + t, i) : nullptr;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        to[lane] += sum[static_cast<size_t>(lane)];
        if (shared != nullptr) to[lane] += shared[lane];
      }
    }
  }
}

}  // namespace duet
