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

void SequenceState::reserve(int64_t tokens) {
  while (static_cast<int64_t>(pages_.size()) * KvView::kPageTokens < tokens) {
    Buffer page = device_->allocate(layout_->page_bytes());
    std::byte* data = page.data();
    pages_.push_back(std::move(page));
    for (size_t layer = 0; layer < tables_.size(); ++layer) {
      tables_[layer].push_back(data);
      data += layout_->layers[layer].page_bytes();
    }
  }
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
