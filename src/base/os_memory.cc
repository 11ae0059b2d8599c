#include "base/os_memory.h"

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

uint64_t resident_bytes() { return kilobytes_of("/proc/self/status", "VmRSS:").value_or(0); }

}  // namespace duet
