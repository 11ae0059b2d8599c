#include "state/sequence_state.h"

#include <algorithm>

#include "base/check.h"

namespace duet {

int64_t StateLayout::page_bytes() const {
  int64_t sum = 0;
  for (const KvLayerLayout& layer : layers) sum += layer.page_bytes();
  return sum;
}

int64_t StateLayout::bytes(int64_t tokens) const {
  return (tokens + KvView::kPageTokens - 1) / KvView::kPageTokens * page_bytes();
}

SequenceState::SequenceState(Device& device, const StateLayout& layout)
    : device_(&device), layout_(&layout), tables_(layout.layers.size()) {}

std::unique_ptr<SequenceState> SequenceState::fork() const {
  return std::unique_ptr<SequenceState>(new SequenceState(*this));
}

void SequenceState::reserve(int64_t tokens) {
  // What lies before the next position stays shared for good; what is written to must be its own.
  for (auto i = static_cast<size_t>(length_tokens_ / KvView::kPageTokens); i < pages_.size(); ++i) {
    if (pages_[i].use_count() > 1) set_page(i, true);
  }
  while (static_cast<int64_t>(pages_.size()) * KvView::kPageTokens < tokens) set_page(pages_.size(), false);
}

void SequenceState::set_page(size_t index, bool copied) {
  auto page = std::make_shared<Buffer>(device_->allocate(layout_->page_bytes()));
  if (copied) device_->copy(page->data(), pages_[index]->data(), page->bytes());
  const size_t count = std::max(pages_.size(), index + 1);
  pages_.resize(count);
  std::byte* data = page->data();
  for (size_t layer = 0; layer < tables_.size(); ++layer) {
    tables_[layer].resize(count);
    tables_[layer][index] = data;
    data += layout_->layers[layer].page_bytes();
  }
  pages_[index] = std::move(page);
}

void SequenceState::advance_to(int64_t tokens) {
  DUET_CHECK(tokens >= length_tokens_ && tokens <= static_cast<int64_t>(pages_.size()) * KvView::kPageTokens);
  length_tokens_ = tokens;
}

int64_t SequenceState::trim(int64_t position) {
  DUET_CHECK(position >= 0);
  length_tokens_ = std::min(length_tokens_, position);
  const auto keep = static_cast<size_t>((length_tokens_ + KvView::kPageTokens - 1) / KvView::kPageTokens);
  pages_.resize(keep);
  for (auto& table : tables_) table.resize(keep);
  return length_tokens_;
}

int64_t SequenceState::bytes() const { return static_cast<int64_t>(pages_.size()) * layout_->page_bytes(); }

}  // namespace duet
