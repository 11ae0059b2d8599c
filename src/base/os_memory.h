#pragma once

#include <cstdint>

namespace duet {

/// Bytes that the system would give without swapping (MemAvailable of Linux); UINT64_MAX where it does not say.
uint64_t available_memory_bytes();

/// Bytes of memory that this process holds now (resident set); 0 where the system does not say.
uint64_t resident_bytes();

}  // namespace duet
