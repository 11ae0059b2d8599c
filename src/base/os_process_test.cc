#include "base/os_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "tests/support.h"

namespace duet {
namespace {

ProcessResult run_shell(const std::string& script, const Cancelled& cancelled = {}) {
  return run_process({{"/bin/sh", "-c", script}, {{"DUET_TEST_WORD", "a b"}}}, cancelled, {});
}

TEST(Process, GivesOutputStatusAndEnvironment) {
  const ProcessResult result = run_shell("printf '%s' \"$DUET_TEST_WORD\"; echo err >&2; exit 7");
  EXPECT_EQ(result.output, "a berr\n");
  EXPECT_EQ(result.exit_status, 7);
  EXPECT_FALSE(result.cancelled);
}

TEST(Process, KeepsErrorsApartOnRequest) {
  const char* script =
      "echo out; echo err >&2; i=0; while [ $i -lt 20000 ]; do echo much >&2; i=$((i+1)); done; echo end";
  const ProcessResult result = run_process({.command = {"/bin/sh", "-c", script}, .separate_errors = true}, {}, {});
  EXPECT_EQ(result.output, "out\nend\n");
  EXPECT_EQ(result.errors.size(), size_t{64} << 10);
}

TEST(Process, KeepsTheEndOfMuchOutput) {
  const ProcessResult result = run_shell("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
  EXPECT_EQ(result.output.size(), size_t{64} << 10);
  EXPECT_TRUE(result.output.ends_with("line 19999\n"));
}

TEST(Process, HasAnEmptyStandardInput) { EXPECT_EQ(run_shell("cat; echo end").output, "end\n"); }

TEST(Process, ReportsADeathBySignal) { EXPECT_EQ(run_shell("kill -9 $$").exit_status, 128 + SIGKILL); }

TEST(Process, NamesAProgramThatIsNotThere) {
  EXPECT_ERROR(run_process({{"duet-no-such-program"}}, {}, {}), ErrorCode::kNotFound, "duet-no-such-program");
  const auto file = test::temporary_folder() / "not-a-program";
  std::ofstream(file) << "\x7f"
                         "ELF nonsense";
  ::chmod(file.c_str(), 0755);
  EXPECT_ERROR(run_process({{file.string()}}, {}, {}), ErrorCode::kIoError, "cannot run");
}

TEST(Process, EndsWhenCancelled) {
  const auto begin = std::chrono::steady_clock::now();
  int asked = 0;
  const ProcessResult result = run_shell("exec sleep 100", [&] { return ++asked > 2; });
  EXPECT_TRUE(result.cancelled);
  EXPECT_EQ(result.exit_status, 128 + SIGINT);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

TEST(Process, KillsWhatIgnoresAnInterrupt) {
  const ProcessResult result = run_shell("trap '' INT; while :; do sleep 1; done", [] { return true; });
  EXPECT_TRUE(result.cancelled);
  EXPECT_EQ(result.exit_status, 128 + SIGKILL);
}

TEST(Process, DoesNotWaitForAGrandchildThatKeepsTheOutputOpen) {
  const auto begin = std::chrono::steady_clock::now();
  const ProcessResult result = run_shell("sleep 20 & echo $!");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  ::kill(std::stoi(result.output), SIGKILL);
}

TEST(Process, KillsTheChildWhenTheTickThrows) {
  const auto file = test::temporary_folder() / "pid";
  const ProcessRequest request{{"/bin/sh", "-c", "echo $$ > " + file.string() + "; exec sleep 100"}};
  EXPECT_THROW(run_process(request, {},
                           [&] {
                             if (std::filesystem::exists(file)) throw std::runtime_error("tick");
                           }),
               std::runtime_error);
  pid_t pid = 0;
  std::ifstream(file) >> pid;
  if (pid > 0) {
    EXPECT_NE(::kill(pid, 0), 0);
  }
}

}  // namespace
}  // namespace duet
