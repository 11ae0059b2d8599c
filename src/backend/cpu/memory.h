#pragma once

#include <cstddef>
#include <cstdint>

namespace duet {

/// Zero-filled host memory, aligned to 64 bytes, or to 2 MiB with huge pages asked for from 4 MiB on. Large pieces cost
/// memory only where they are touched. Throws out_of_memory (names the bytes).
std::byte* allocate_host(int64_t bytes);
/// Gives back what allocate_host(bytes) returned.
void release_host(std::byte* data, int64_t bytes) noexcept;

}  // namespace duet
