#include "state/sequence_state.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"

namespace duet {

namespace {

constexpr int64_t kPage = KvView::kPageTokens;

size_t pages_of(int64_t tokens) { return static_cast<size_t>((tokens + kPage - 1) / kPage); }

}  // namespace

SequenceState::SequenceState(Device& device, const StateLayout& layout)
    : device_(&device), layout_(&layout), pages_(layout.groups().size()), tables_(layout.layers().size()) {}

std::unique_ptr<SequenceState> SequenceState::fork() const {
  return std::unique_ptr<SequenceState>(new SequenceState(*this));
}

SequenceState::Page SequenceState::copy_of(const Buffer& buffer) const {
  auto page = std::make_shared<Buffer>(device_->allocate(buffer.bytes()));
  device_->copy(page->data(), buffer.data(), buffer.bytes());
  return page;
}

void SequenceState::resize_tables(size_t count) {
  for (size_t g = 0; g < pages_.size(); ++g) {
    pages_[g].resize(count);
    for (const size_t layer : layout_->groups()[g].layers) tables_[layer].resize(count);
  }
}

void SequenceState::place(size_t group, size_t index, Page page) {
  std::byte* data = page ? page->data() : nullptr;
  for (const size_t layer : layout_->groups()[group].layers) {
    tables_[layer][index] = data;
    if (data != nullptr) data += std::get<KvLayerLayout>(layout_->layers()[layer]).page_bytes();
  }
  pages_[group][index] = std::move(page);
}

void SequenceState::reserve(int64_t tokens) {
  if (layout_->recurrent_bytes() > 0) {
    if (!recurrent_) {
      recurrent_ = std::make_shared<Buffer>(device_->allocate(layout_->recurrent_bytes()));
    } else if (recurrent_.use_count() > 1) {
      recurrent_ = copy_of(*recurrent_);
    }
  }
  // What lies before the next position stays shared for good; what is written to must be its own.
  const size_t first = static_cast<size_t>(length_tokens_ / kPage);
  const size_t held = pages_.empty() ? 0 : pages_.front().size();
  const size_t wanted = std::max(held, pages_of(tokens));
  try {
    for (size_t i = first; i < wanted; ++i) {
      if (i >= held) resize_tables(i + 1);
      for (size_t g = 0; g < pages_.size(); ++g) {
        const Page& page = pages_[g][i];
        if (!page) {
          place(g, i, std::make_shared<Buffer>(device_->allocate(layout_->groups()[g].page_bytes)));
        } else if (page.use_count() > 1) {
          place(g, i, copy_of(*page));
        }
      }
    }
  } catch (...) {
    // Pages that were got for old places are as good as those that stood there; new places go again.
    resize_tables(held);
    throw;
  }
}

void SequenceState::advance_to(int64_t tokens) {
  DUET_CHECK(tokens >= length_tokens_);
  DUET_CHECK(pages_.empty() || pages_of(tokens) <= pages_.front().size());
  length_tokens_ = tokens;
  if (recurrent_) earliest_ = DeltaView::earliest_restart(tokens);
  for (size_t g = 0; g < pages_.size(); ++g) {
    const KvLayerLayout& reach = layout_->groups()[g].reach;
    if (!reach.is_local()) continue;
    // Those before were let go of in earlier steps.
    for (auto i = static_cast<size_t>(reach.first_needed(tokens) / kPage); i-- > 0 && pages_[g][i];) place(g, i, {});
  }
}

void SequenceState::snapshot() {
  if (layout_->trims_anywhere() || length_tokens_ == 0) return;
  if (!snapshots_.empty() && snapshots_.back().length_tokens == length_tokens_) return;
  Snapshot kept{length_tokens_, earliest_, recurrent_, Pages(pages_.size())};
  for (size_t g = 0; g < pages_.size(); ++g) {
    if (layout_->groups()[g].reach.is_local()) kept.local[g] = pages_[g];
  }
  if (snapshots_.size() == kMaxSnapshots) snapshots_.erase(snapshots_.begin());
  snapshots_.push_back(std::move(kept));
}

int64_t SequenceState::resumable(int64_t position, int64_t earliest, const Pages& pages) const {
  const auto is_there = [&](int64_t at) {
    if (at < earliest) return false;
    for (size_t g = 0; g < pages_.size(); ++g) {
      const KvLayerLayout& reach = layout_->groups()[g].reach;
      if (!reach.is_local()) continue;
      const AttentionSpec spec{.window = reach.window, .chunk = reach.chunk};
      const int64_t first = spec.first_visible(at);
      for (auto i = static_cast<size_t>(first / kPage); first < at && i < pages_of(at); ++i) {
        if (i >= pages[g].size() || !pages[g][i]) return false;
      }
    }
    return true;
  };
  if (is_there(position)) return position;
  // At the beginning of its chunk a layer needs nothing.
  for (const StateLayout::PageGroup& group : layout_->groups()) {
    if (group.reach.chunk == 0) continue;
    const int64_t at = position / group.reach.chunk * group.reach.chunk;
    if (at > 0 && is_there(at)) return at;
  }
  return 0;
}

int64_t SequenceState::trim(int64_t position) {
  DUET_CHECK(position >= 0);
  const int64_t wanted = std::min(length_tokens_, position);
  int64_t kept = resumable(wanted, earliest_, pages_);
  const Snapshot* from = nullptr;
  for (const Snapshot& snapshot : snapshots_) {
    const int64_t at = resumable(std::min(wanted, snapshot.length_tokens), snapshot.earliest, snapshot.local);
    if (at > kept) kept = at, from = &snapshot;
  }
  if (from != nullptr) {
    recurrent_ = from->recurrent;
    earliest_ = from->earliest;
    for (size_t g = 0; g < pages_.size(); ++g) {
      for (size_t i = 0; i < pages_[g].size() && layout_->groups()[g].reach.is_local(); ++i) {
        place(g, i, i < from->local[g].size() ? from->local[g][i] : Page());
      }
    }
  }
  length_tokens_ = kept;
  if (kept == 0) recurrent_.reset(), earliest_ = 0;
  resize_tables(pages_of(kept));
  // What a snapshot holds of later tokens is of no use any more.
  std::erase_if(snapshots_, [&](const Snapshot& s) { return s.earliest > kept || kept == 0; });
  for (Snapshot& s : snapshots_) s.length_tokens = std::min(s.length_tokens, kept);
  return kept;
}

int64_t SequenceState::bytes() const {
  std::set<const Buffer*> distinct;
  int64_t sum = 0;
  const auto add = [&](const Page& page) {
    if (page && distinct.insert(page.get()).second) sum += page->bytes();
  };
  const auto add_all = [&](const Pages& groups) {
    for (const std::vector<Page>& pages : groups) {
      for (const Page& page : pages) add(page);
    }
  };
  add(recurrent_);
  add_all(pages_);
  for (const Snapshot& s : snapshots_) {
    add(s.recurrent);
    add_all(s.local);
  }
  return sum;
}

}  // namespace duet
