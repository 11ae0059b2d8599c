#include "base/cores.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "base/thread_pool.h"
#include "tests/support.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

/// A machine as its files describe it.
class Machine {
 public:
  Machine() : root_(test::temporary_folder()) {}
  Machine& file(const fs::path& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
    return *this;
  }
  Machine& siblings(int cpu, const std::string& list) {
    return file("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list", list + "\n");
  }
  int cores(const std::vector<int>& allowed) const { return count_cores(root_, allowed); }

 private:
  fs::path root_;
};

TEST(Cores, WithoutFactsEveryCpuCounts) {
  EXPECT_EQ(Machine().cores({0, 1, 2}), 3);
  EXPECT_EQ(Machine().cores({}), 1);
}

TEST(Cores, SiblingsAreOneCore) {
  Machine machine;
  machine.siblings(0, "0,2").siblings(1, "1,3").siblings(2, "0,2").siblings(3, "1,3");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 2);
  EXPECT_EQ(machine.cores({0, 2}), 1);
  EXPECT_EQ(machine.cores({2, 3}), 2);
}

TEST(Cores, QuotaOfVersion2AndOfGroupsAbove) {
  Machine machine;
  machine.file("proc/self/cgroup", "0::/user.slice/app\n");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 4);
  machine.file("sys/fs/cgroup/user.slice/app/cpu.max", "max 100000\n");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 4);
  machine.file("sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 3);
  machine.file("sys/fs/cgroup/user.slice/app/cpu.max", "50000 100000\n");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 1);
}

TEST(Cores, QuotaOfVersion1) {
  Machine machine;
  machine.file("proc/self/cgroup", "5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/\n");
  machine.file("sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_quota_us", "-1\n");
  machine.file("sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 4);
  machine.file("sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 2);
}

TEST(Cores, AContainersGroupIsItsMount) {
  Machine machine;
  machine.file("proc/self/cgroup", "4:cpu:/docker/1f\n");
  machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n")
      .file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(machine.cores({0, 1, 2, 3}), 1);
}

TEST(Cores, NonsenseLimitsNothing) {
  Machine machine;
  machine.file("proc/self/cgroup", "rubbish\n0:\n::\n0::/a\n");
  machine.file("sys/fs/cgroup/a/cpu.max", "99999999999999999999 x\n");
  EXPECT_EQ(machine.cores({0, 1}), 2);
}

TEST(Cores, ThisMachineHasOne) { EXPECT_GE(usable_cores(), 1); }

}  // namespace
}  // namespace duet
