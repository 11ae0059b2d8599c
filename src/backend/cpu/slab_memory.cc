#include "backend/cpu/slab_memory.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/memory.h"
#include "base/check.h"

namespace duet {
namespace {

constexpr int64_t kSlabBytes = int64_t{32} << 20;  // what is never touched costs addresses only
constexpr int64_t kLeastBytes = int64_t{16} << 10;
constexpr int64_t kMostBytes = int64_t{4} << 20;  // from here on allocate_host() takes huge pages itself
constexpr int64_t kLine = 64;

bool is_middle(int64_t bytes) { return bytes >= kLeastBytes && bytes < kMostBytes; }
int64_t rounded(int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

SlabMemory::~SlabMemory() {
  for (const auto& [begin, slab] : slabs_) release_host(begin, kSlabBytes);
}

int64_t SlabMemory::slabs() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(slabs_.size());
}

std::byte* SlabMemory::reuse(int64_t bytes) {
  const auto found = returned_.find(bytes);
  if (found == returned_.end()) return nullptr;
  std::byte* const data = found->second.back();
  found->second.pop_back();
  if (found->second.empty()) returned_.erase(found);
  ++std::prev(slabs_.upper_bound(data))->second.live_pieces;
  return data;
}

std::byte* SlabMemory::allocate(int64_t bytes) {
  if (!is_middle(bytes)) return allocate_host(bytes);
  const int64_t size = rounded(bytes);
  std::unique_lock lock(mutex_);
  if (std::byte* const data = reuse(size)) {
    lock.unlock();
    std::memset(data, 0, static_cast<size_t>(size));
    return data;
  }
  auto slab = std::find_if(slabs_.begin(), slabs_.end(),
                           [&](const auto& item) { return item.second.used_bytes + size <= kSlabBytes; });
  if (slab == slabs_.end()) slab = slabs_.emplace(allocate_host(kSlabBytes), Slab{}).first;
  std::byte* const data = slab->first + slab->second.used_bytes;
  slab->second.used_bytes += size;
  ++slab->second.live_pieces;
  return data;
}

void SlabMemory::release(std::byte* data, int64_t bytes) noexcept {
  if (!is_middle(bytes)) {
    release_host(data, bytes);
    return;
  }
  const std::lock_guard lock(mutex_);
  const auto slab = std::prev(slabs_.upper_bound(data));
  DUET_CHECK(data < slab->first + kSlabBytes && slab->second.live_pieces > 0);
  if (--slab->second.live_pieces > 0) {
    returned_[rounded(bytes)].push_back(data);
    return;
  }
  std::byte* const begin = slab->first;
  slabs_.erase(slab);
  for (auto& [size, pieces] : returned_) {
    std::erase_if(pieces, [&](const std::byte* piece) { return piece >= begin && piece < begin + kSlabBytes; });
  }
  std::erase_if(returned_, [](const auto& item) { return item.second.empty(); });
  release_host(begin, kSlabBytes);
}

}  // namespace duet
