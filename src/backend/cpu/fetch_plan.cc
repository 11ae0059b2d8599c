#include "backend/cpu/fetch_plan.h"

#include <algorithm>

namespace duet {

bool FetchPlan::add(const std::byte* first, int64_t lines, int64_t step_bytes) noexcept {
  if (ranges_in_head_ == ranges_.size()) return false;
  ranges_[ranges_in_head_++] = {first, lines, step_bytes};
  lines_in_head_ += lines;
  return true;
}

bool FetchPlan::add_bytes(const std::byte* begin, const std::byte* end) noexcept {
  const int64_t before = static_cast<int64_t>(reinterpret_cast<uintptr_t>(begin) % kLineBytes);
  return add(begin - before, (end - begin + before + kLineBytes - 1) / kLineBytes, kLineBytes);
}

bool FetchPlan::add_slots(const KvView& kv, const std::byte* page, int64_t begin, int64_t end) noexcept {
  const std::byte* const keys = page + kv.keys_at(0);
  const std::byte* const values = page + kv.values_at(0);
  const DTypeInfo& type = dtype_info(kv.dtype);
  if (type.block_size > 1)
    return add_bytes(keys, keys + kv.head_bytes()) && add_bytes(values, values + kv.head_bytes());
  // Keys are transposed: for each element of the head a row of slots, of which some lines hold those that are asked
  // for.
  const int64_t row = KvView::kPageTokens * type.block_bytes, value = kv.head_dim * type.block_bytes;
  for (int64_t at = begin * type.block_bytes / kLineBytes * kLineBytes; at < end * type.block_bytes; at += kLineBytes) {
    if (!add(keys + at, kv.head_dim, row)) return false;
  }
  return add_bytes(values + begin * value, values + end * value);
}

bool FetchPlan::add_all(const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec, bool visible,
                        int threads) noexcept {
  clear();
  const int64_t most_lines = kThreadBytes * threads / (kLineBytes * std::max<int64_t>(1, kv.kv_heads));
  for (size_t t = 0, next = 0; t < rows.position.size(); t = next) {
    // Neighbours of one sequence (drafts) see the same but for a few.
    next = t + 1;
    while (next < rows.position.size() && rows.sequence[next] == rows.sequence[t]) ++next;
    const auto [least, most] = std::minmax_element(rows.position.begin() + static_cast<int64_t>(t),
                                                   rows.position.begin() + static_cast<int64_t>(next));
    const int64_t begin = visible ? spec.first_visible(*least) : *least, end = *most + int64_t{1};
    const auto pages = kv.pages[static_cast<size_t>(rows.sequence[t])];
    for (int64_t at = begin; at < end;) {
      const int64_t first = at / KvView::kPageTokens * KvView::kPageTokens;
      const int64_t stop = std::min(end, first + KvView::kPageTokens);
      const std::byte* const page = pages[static_cast<size_t>(at / KvView::kPageTokens)];
      if (page != nullptr && !add_slots(kv, page, at - first, stop - first)) return false;
      if (lines_in_head_ > most_lines) return false;
      at = stop;
    }
  }
  return true;
}

void FetchPlan::expect(const KvView& kv, const RowPlaces& rows, const AttentionSpec& spec, int threads) noexcept {
  heads_ = kv.kv_heads;
  head_bytes_ = kv.head_bytes();
  if (rows.position.size() >= kRowsWithTime && add_all(kv, rows, spec, true, threads)) return;
  if (add_all(kv, rows, spec, false, threads)) return;
  clear();
}

}  // namespace duet
