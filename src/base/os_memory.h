#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace duet {

/// Bytes that the system would give without swapping (MemAvailable of Linux); UINT64_MAX where it does not say.
uint64_t available_memory_bytes();

/// Bytes of memory that this process holds now (resident set); 0 where the system does not say.
uint64_t resident_bytes();

/// `bytes` bytes of zeros that begin at a multiple of 2 MiB and lie in huge pages where the system has them; nullptr
/// when there is no memory. Given back with unmap_huge_pages() and the same number.
void* map_huge_pages(size_t bytes);
void unmap_huge_pages(void* begin, size_t bytes) noexcept;

/// For the vectors of large hash tables: a table that is looked up all over costs a miss in the table of pages each
/// time, and a fault for every 4 KiB of it when it is filled, unless its pages are huge. Small vectors lie on the heap.
template <typename T>
struct TableAllocator {
  using value_type = T;  // NOLINT(readability-identifier-naming): as allocators must
  static constexpr size_t kLargeBytes = size_t{2} << 20;

  TableAllocator() = default;
  template <typename U>
  TableAllocator(const TableAllocator<U>&) {}  // NOLINT(google-explicit-constructor): as allocators must
  T* allocate(size_t count) {
    if (count < kLargeBytes / sizeof(T)) return std::allocator<T>().allocate(count);
    if (count > SIZE_MAX / 2 / sizeof(T)) throw std::bad_array_new_length();
    void* const begin = map_huge_pages(count * sizeof(T));
    if (begin == nullptr) throw std::bad_alloc();
    return static_cast<T*>(begin);
  }
  void deallocate(T* begin, size_t count) noexcept {
    if (count < kLargeBytes / sizeof(T)) return std::allocator<T>().deallocate(begin, count);
    unmap_huge_pages(begin, count * sizeof(T));
  }
  bool operator==(const TableAllocator&) const = default;
};

}  // namespace duet
