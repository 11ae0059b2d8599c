#pragma once

#include <filesystem>
#include <span>

namespace duet {

/// What usable_cores() does, with the facts given: distinct physical cores among `allowed_cpus` (by the sibling lists
/// of root/sys/devices/system/cpu), limited by the CPU quotas (rounded up to whole cores) of the process's control
/// group in root/proc/self/cgroup and of all groups above it, version 1 and 2. At least 1; facts that are absent limit
/// nothing.
int count_cores(const std::filesystem::path& root, std::span<const int> allowed_cpus);

}  // namespace duet
