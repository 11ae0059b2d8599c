#pragma once

#include <cstdint>

namespace duet {

/// Bytes that the system would give without swapping (MemAvailable of Linux); UINT64_MAX where it does not say.
uint64_t available_memory_bytes();

}  // namespace duet
