#include "backend/cpu/memory.h"

#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/os_memory.h"

namespace duet {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kLarge = 2 * kHugePage;

constexpr int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

std::byte* allocate_host(int64_t bytes) {
  std::byte* data = nullptr;
  if (bytes >= 0 && bytes < kLarge) {
    const size_t rounded = static_cast<size_t>(round_up(bytes > 0 ? bytes : 1, kLine));
    data = static_cast<std::byte*>(std::aligned_alloc(kLine, rounded));
    if (data != nullptr) std::memset(data, 0, rounded);
  } else if (bytes >= 0 && bytes < std::numeric_limits<int64_t>::max() - 2 * kHugePage) {
    data = static_cast<std::byte*>(map_huge_pages(static_cast<size_t>(bytes)));
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
    unmap_huge_pages(data, static_cast<size_t>(bytes));
  }
}

}  // namespace duet
