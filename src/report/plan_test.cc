#include "report/plan.h"

#include <gtest/gtest.h>

#include "tests/support.h"

namespace duet {
namespace {

TEST(Plan, MachinesAreMemoryAndBandwidth) {
  const Machine machine = parse_machine("64:80.5");
  EXPECT_EQ(machine.memory_bytes, 64'000'000'000);
  EXPECT_DOUBLE_EQ(machine.read_bytes_per_second, 80.5e9);
  EXPECT_EQ(parse_machine("0.5").memory_bytes, 500'000'000);
  EXPECT_EQ(parse_machine("0.5").read_bytes_per_second, 0);
  for (const char* bad : {"", ":", "8:", ":8", "0", "-1", "nan", "1e300", "8GB", "8:9:10"}) {
    EXPECT_ERROR(parse_machine(bad), ErrorCode::kBadValue, "--machine");
  }
}

TEST(Plan, SpeedsAreThoseOfTheLimits) {
  const Checkpoint checkpoint = Checkpoint::open(test::golden("text/qwen3-dense"), {.config = true, .weights = true});
  const ModelDescription model = describe_model(checkpoint);
  Machine machine{.name = "round", .memory_bytes = int64_t{1} << 40, .read_bytes_per_second = 1e6};
  const ModelPlan plan = plan_model(checkpoint, model, {}, machine);
  EXPECT_TRUE(plan.fits() && plan.advice.empty());
  EXPECT_DOUBLE_EQ(plan.decode_tps, 1e6 / static_cast<double>(plan.work.bytes));
  EXPECT_LT(plan.decode_full_tps, plan.decode_tps);
  EXPECT_EQ(plan.prefill_tps, 0);  // its peaks are not known
}

TEST(Plan, AdviceFitsAndOneStepMoreDoesNot) {
  const Checkpoint checkpoint = Checkpoint::open(test::golden("text/qwen3-dense"), {.config = true, .weights = true});
  const ModelDescription model = describe_model(checkpoint);
  const MemoryPlanOptions options{.sequences = 50};
  Machine machine{.name = "small"};
  MemoryPlanOptions few = options;
  few.sequences = 20;
  machine.memory_bytes = plan_memory(model, few).total() + 1;
  const ModelPlan plan = plan_model(checkpoint, model, options, machine);
  EXPECT_FALSE(plan.fits());
  bool found = false;
  for (const Advice& advice : plan.advice) {
    EXPECT_EQ(advice.fits, advice.total_bytes <= machine.memory_bytes) << advice.change;
    EXPECT_LT(advice.total_bytes, plan.memory.total());
    found = found || advice.change == "--parallel 20";
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace duet
