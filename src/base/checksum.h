#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace duet {

/// XXH64 with seed 0 (the public specification of xxHash by Y. Collet): finds damage at the speed of memory. No
/// protection against intent.
uint64_t checksum64(std::span<const std::byte> bytes) noexcept;

}  // namespace duet
