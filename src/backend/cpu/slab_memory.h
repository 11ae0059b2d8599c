#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace duet {

/// Zero-filled host memory in which pieces of middle size, as the matrices and KV pages of small models are, lie close
/// together in slabs of huge pages: decoding matrices of 1.2 MB is 1.07 times as fast so, of 3.5 MB 1.02 times (Zen 3,
/// bench/results/kernels.txt). Smaller and larger pieces come from allocate_host(). A piece that was given
/// back serves the next one of its size; a slab goes back to the system with its last piece. Thread-safe.
class SlabMemory {
 public:
  SlabMemory() = default;
  ~SlabMemory();
  SlabMemory(const SlabMemory&) = delete;
  SlabMemory& operator=(const SlabMemory&) = delete;

  /// Aligned to 64 bytes; 2 MiB from 4 MiB on. Throws out_of_memory (names the bytes).
  std::byte* allocate(int64_t bytes);
  /// Gives back what allocate(bytes) returned.
  void release(std::byte* data, int64_t bytes) noexcept;

  /// Slabs that are mapped.
  int64_t slabs() const;

 private:
  struct Slab {
    int64_t used_bytes = 0;   // from the beginning; what is behind was never touched
    int64_t live_pieces = 0;  // not given back
  };
  std::byte* reuse(int64_t bytes);

  mutable std::mutex mutex_;
  std::map<std::byte*, Slab> slabs_;                     // by where they begin
  std::map<int64_t, std::vector<std::byte*>> returned_;  // by size
};

}  // namespace duet
