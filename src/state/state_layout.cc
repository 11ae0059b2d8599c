#include "state/state_layout.h"

#include <algorithm>

namespace duet {

namespace {

constexpr int64_t kPage = KvView::kPageTokens;

int64_t pages_of(int64_t tokens) { return (tokens + kPage - 1) / kPage; }

/// Pages that a layer of this reach holds of a sequence of `tokens` that arrived in steps of `step_rows`.
int64_t held_pages(const KvLayerLayout& reach, int64_t tokens, int64_t step_rows) {
  const int64_t before = std::max<int64_t>(0, tokens - step_rows);  // of the step that brought the last tokens
  int64_t first = reach.first_needed(before) / kPage;
  if (reach.chunk > 0) {  // a chunk fills up: the most that it has held is what counts
    first = std::min(first, std::max<int64_t>(0, pages_of(tokens) - pages_of(reach.chunk + step_rows) - 1));
  }
  return pages_of(tokens) - first;
}

}  // namespace

int64_t KvLayerLayout::first_needed(int64_t tokens) const {
  const AttentionSpec spec{.window = window, .chunk = chunk};
  return spec.first_visible(std::max<int64_t>(0, tokens - DeltaView::kMaxDraftTokens));
}

DeltaView DeltaLayerLayout::view() const {
  DeltaView view;
  view.key_heads = key_heads;
  view.value_heads = value_heads;
  view.key_dim = key_dim;
  view.value_dim = value_dim;
  view.conv_width = conv_width;
  view.key_head_of_value_head = key_head_of_value_head;
  return view;
}

StateLayout::StateLayout(std::vector<LayerLayout> layers) : layers_(std::move(layers)) {
  recurrent_at_.resize(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto* kv = std::get_if<KvLayerLayout>(&layers_[i]);
    if (kv == nullptr) {
      recurrent_at_[i] = recurrent_bytes_;
      recurrent_bytes_ += std::get<DeltaLayerLayout>(layers_[i]).bytes();
      continue;
    }
    auto group = std::find_if(groups_.begin(), groups_.end(), [&](const PageGroup& g) {
      return g.reach.window == kv->window && g.reach.chunk == kv->chunk;
    });
    if (group == groups_.end()) group = groups_.insert(group, {*kv, {}, 0});
    group->layers.push_back(i);
    group->page_bytes += kv->page_bytes();
  }
}

bool StateLayout::trims_anywhere() const {
  return recurrent_bytes_ == 0 &&
         std::none_of(groups_.begin(), groups_.end(), [](const PageGroup& g) { return g.reach.is_local(); });
}

int64_t StateLayout::bytes(int64_t tokens, int64_t step_rows) const {
  int64_t sum = tokens > 0 ? recurrent_bytes_ : 0;
  for (const PageGroup& group : groups_) sum += held_pages(group.reach, tokens, step_rows) * group.page_bytes;
  return sum;
}

int64_t StateLayout::snapshot_bytes(int64_t tokens, int64_t step_rows, int64_t most, int64_t spacing) const {
  if (trims_anywhere()) return 0;  // nothing but full pages, which snapshots share
  const int64_t count = std::min(most, 1 + tokens / spacing);
  int64_t sum = count * recurrent_bytes_;
  for (const PageGroup& group : groups_) {
    if (!group.reach.is_local()) continue;
    // All pages from what the oldest one sees to the end or, where less, what each of them sees; of each one the last
    // page as well, where the sequence goes on in it.
    const int64_t own = held_pages(group.reach, tokens, step_rows);
    const int64_t reach = std::max(group.reach.window, group.reach.chunk) + DeltaView::kMaxDraftTokens;
    const int64_t from_oldest = std::min(pages_of(tokens), pages_of(reach + count * spacing + step_rows) + 1);
    const int64_t each = pages_of(reach) + 1;
    sum += (std::min(std::max<int64_t>(0, from_oldest - own), count * each) + count) * group.page_bytes;
  }
  return sum;
}

int64_t StateLayout::token_bytes() const {
  int64_t sum = 0;
  for (const PageGroup& group : groups_) {
    if (!group.reach.is_local()) sum += group.page_bytes;
  }
  return sum / kPage;
}

}  // namespace duet
