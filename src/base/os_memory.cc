#include "base/os_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace duet {

namespace {

/// The figure of a line "Name:   123 kB", in bytes.
std::optional<uint64_t> kilobytes_of(const char* file, std::string_view name) {
  std::ifstream info(file);
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10) << 10;
  }
  return std::nullopt;
}

}  // namespace

uint64_t available_memory_bytes() { return kilobytes_of("/proc/meminfo", "MemAvailable:").value_or(UINT64_MAX); }

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

constexpr size_t round_up(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

}  // namespace

void* map_huge_pages(size_t bytes) {
  // A huge page more than is needed; both ends go back, so that the rest begins at a multiple of 2 MiB.
  const size_t wanted = round_up(bytes), mapped = wanted + kHugePage;
  void* const all = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(all);
  const size_t place = reinterpret_cast<uintptr_t>(begin);
  const size_t head = round_up(place) - place;
  if (head > 0) munmap(begin, head);
  munmap(begin + head + wanted, kHugePage - head);
  madvise(begin + head, wanted, MADV_HUGEPAGE);  // a wish: without it only speed is lost
  return begin + head;
}

void unmap_huge_pages(void* begin, size_t bytes) noexcept { munmap(begin, round_up(bytes)); }

uint64_t resident_bytes() { return kilobytes_of("/proc/self/status", "VmRSS:").value_or(0); }

}  // namespace duet
