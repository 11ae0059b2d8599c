#pragma once

#include <span>
#include <vector>

#include "backend/cpu/product.h"

namespace duet {

/// The slots [T k] of a grouped op by expert, ascending within one, and what a call of such slots is given.
struct CpuBackend::ExpertRows {
  std::vector<int64_t> first;  // [E + 1]: the place of each expert's first slot
  std::vector<int32_t> slots;  // [T k] by place
  std::vector<int32_t> x_rows;
  std::vector<int32_t> place_of;  // by slot
  std::vector<LinearTerm> terms;
  std::vector<const LinearTerm*> pointers;
  std::vector<RowGroup> groups;

  /// A counting sort. Slots whose id is below 0 have no place. `own_rows`: x has a row for each slot, not each token.
  void sort(const Tensor& ids, size_t experts, bool own_rows) {
    const int64_t top_k = ids.dim(1), count = ids.elements();
    const auto* const expert_of = reinterpret_cast<const int32_t*>(ids.data);
    first.assign(experts + 1, 0);
    for (int64_t slot = 0; slot < count; ++slot) {
      if (expert_of[slot] >= 0) ++first[static_cast<size_t>(expert_of[slot]) + 1];
    }
    for (size_t e = 0; e < experts; ++e) first[e + 1] += first[e];
    slots.resize(static_cast<size_t>(count)), x_rows.resize(slots.size()), place_of.resize(slots.size());
    for (int64_t slot = 0; slot < count; ++slot) {
      if (expert_of[slot] < 0) continue;
      const auto at = static_cast<size_t>(first[static_cast<size_t>(expert_of[slot])]++);
      slots[at] = static_cast<int32_t>(slot);
      x_rows[at] = static_cast<int32_t>(own_rows ? slot : slot / top_k);
      place_of[static_cast<size_t>(slot)] = static_cast<int32_t>(at);
    }
    for (size_t e = experts; e > 0; --e) first[e] = first[e - 1];  // each went on to the next one's
    first[0] = 0;
  }
  int64_t rows_of(size_t expert) const { return first[expert + 1] - first[expert]; }

  /// Forgets groups, with room for `groups_at_most` of `terms_of_group`: what they point to stays where it is.
  void begin(size_t groups_at_most, size_t terms_of_group) {
    terms.clear(), pointers.clear(), groups.clear();
    terms.reserve(groups_at_most * terms_of_group), pointers.reserve(groups_at_most * terms_of_group);
  }
  void add_term(const LinearTerm& term) {
    terms.push_back(term);
    pointers.push_back(&terms.back());
  }
  /// Of the last `count` terms.
  void add_group(RowGroup group, size_t count) {
    group.terms = std::span(pointers).last(count);
    groups.push_back(group);
  }
  /// The rows of each expert that has any.
  void add_experts(const float* x, const std::vector<int32_t>& rows_of_x, std::span<const GroupedTerm> products) {
    for (size_t e = 0; e + 1 < first.size(); ++e) {
      if (rows_of(e) == 0) continue;
      for (const GroupedTerm& term : products) add_term({term.experts[e], {}, Epilogue::kNone, term.out});
      add_group({x, 0, rows_of(e), rows_of_x.data() + first[e], slots.data() + first[e], {}}, products.size());
    }
  }
};

}  // namespace duet
