#include "base/os_memory.h"

#include <cstdlib>
#include <fstream>
#include <string>

namespace duet {

uint64_t available_memory_bytes() {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("MemAvailable:"))
      return std::strtoull(line.c_str() + sizeof "MemAvailable:" - 1, nullptr, 10) << 10;
  }
  return UINT64_MAX;
}

}  // namespace duet
