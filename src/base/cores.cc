#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_pool.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  return line;
}

std::optional<int64_t> to_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Cores that a quota per period allows, rounded up; the largest int where there is no limit.
int64_t cores_of_quota(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::numeric_limits<int>::max();
  return std::max<int64_t>(1, *quota / *period + (*quota % *period != 0 ? 1 : 0));
}

/// Version 2: cpu.max holds "max 100000" or "150000 100000".
int64_t quota_v2(const fs::path& group) {
  std::istringstream line(first_line(group / "cpu.max").value_or(""));
  std::string quota, period;
  line >> quota >> period;
  return cores_of_quota(to_number(quota), to_number(period));
}

int64_t quota_v1(const fs::path& group) {
  return cores_of_quota(to_number(first_line(group / "cpu.cfs_quota_us").value_or("")),
                        to_number(first_line(group / "cpu.cfs_period_us").value_or("")));
}

/// The smallest quota of `group` (a path below `mount`) and all groups above it. In a container the path may name a
/// group that is not mounted here: then only the part that exists counts.
template <typename Quota>
int64_t smallest_quota(const fs::path& mount, const fs::path& group, Quota quota) {
  int64_t smallest = quota(mount);
  fs::path path = mount;
  for (const fs::path& part : group.relative_path()) {
    path /= part;
    smallest = std::min(smallest, quota(path));
  }
  return smallest;
}

int64_t cores_of_groups(const fs::path& root) {
  int64_t smallest = std::numeric_limits<int>::max();
  std::ifstream in(root / "proc/self/cgroup");
  const fs::path mounts = root / "sys/fs/cgroup";
  for (std::string line; std::getline(in, line);) {  // "0::/user.slice" or "4:cpu,cpuacct:/docker/1f"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) {
      smallest = std::min(smallest, smallest_quota(mounts, group, quota_v2));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      smallest = std::min({smallest, smallest_quota(mounts / controllers, group, quota_v1),
                           smallest_quota(mounts / "cpu", group, quota_v1)});
    }
  }
  return smallest;
}

std::vector<int> allowed_cpus() {
  for (int cpus = 1024; cpus <= (1 << 20); cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(cpus));
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    std::vector<int> allowed;
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; known && cpu < cpus; ++cpu) {
      if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set)) allowed.push_back(cpu);
    }
    CPU_FREE(set);
    if (known) return allowed;
  }
  std::vector<int> all(std::max(1U, std::thread::hardware_concurrency()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  return all;
}

}  // namespace

int count_cores(const std::filesystem::path& root, std::span<const int> allowed_cpus) {
  std::set<std::string> cores;
  for (const int cpu : allowed_cpus) {
    const std::string name = "cpu" + std::to_string(cpu);
    const fs::path siblings = root / "sys/devices/system/cpu" / name / "topology/thread_siblings_list";
    cores.insert(first_line(siblings).value_or(name));
  }
  const int64_t physical = std::max<int64_t>(1, static_cast<int64_t>(cores.size()));
  return static_cast<int>(std::min(physical, cores_of_groups(root)));
}

int usable_cores() { return count_cores("/", allowed_cpus()); }

}  // namespace duet
