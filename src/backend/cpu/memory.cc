#include "backend/cpu/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace duet {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kLarge = 2 * kHugePage;

constexpr int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

/// Maps a huge page more than is needed and gives back both ends, so that the rest begins at a multiple of 2 MiB.
std::byte* map_aligned(int64_t bytes) {
  const int64_t wanted = round_up(bytes, kHugePage);
  const int64_t mapped = wanted + kHugePage;
  void* const all =
      mmap(nullptr, static_cast<size_t>(mapped), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  std::byte* const begin = static_cast<std::byte*>(all);
  const int64_t head = round_up(reinterpret_cast<intptr_t>(begin), kHugePage) - reinterpret_cast<intptr_t>(begin);
  if (head > 0) munmap(begin, static_cast<size_t>(head));
  munmap(begin + head + wanted, static_cast<size_t>(kHugePage - head));
  madvise(begin + head, static_cast<size_t>(wanted), MADV_HUGEPAGE);  // a wish: without it only speed is lost
  return begin + head;
}

}  // namespace

std::byte* allocate_host(int64_t bytes) {
  std::byte* data = nullptr;
  if (bytes >= 0 && bytes < kLarge) {
    const size_t rounded = static_cast<size_t>(round_up(bytes > 0 ? bytes : 1, kLine));
    data = static_cast<std::byte*>(std::aligned_alloc(kLine, rounded));
    if (data != nullptr) std::memset(data, 0, rounded);
  } else if (bytes >= 0 && bytes < std::numeric_limits<int64_t>::max() - 2 * kHugePage) {
    data = map_aligned(bytes);
  }
  if (data == nullptr) {
    throw Error(ErrorCode::kOutOfMemory, fmt::format("cannot get {} bytes of memory", bytes),
                "a smaller model or a shorter context needs less");
  }
  return data;
}

void release_host(std::byte* data, int64_t bytes) noexcept {
  if (bytes < kLarge) {
    std::free(data);
  } else {
    munmap(data, static_cast<size_t>(round_up(bytes, kHugePage)));
  }
}

}  // namespace duet
