#include "report/machines.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support.h"

namespace duet {
namespace {

TEST(Machines, TheBuiltInOnesAreWholeAndPlausible) {
  const std::vector<KnownMachine> machines = known_machines();
  ASSERT_GE(machines.size(), 15u);
  std::set<std::string> names;
  for (const KnownMachine& known : machines) {
    SCOPED_TRACE(known.name);
    names.insert(known.name);
    const Machine& machine = known.machine;
    EXPECT_FALSE(machine.name.empty() || machine.source.empty());
    // The name ends in GB of memory.
    const double gigabytes = std::stod(known.name.substr(known.name.rfind('-') + 1));
    EXPECT_NEAR(static_cast<double>(machine.memory_bytes) / (1 << 30), gigabytes, 0.02 * gigabytes);
    EXPECT_GT(machine.read_bytes_per_second, 10e9);
    EXPECT_LT(machine.read_bytes_per_second, 10e12);
    EXPECT_EQ(machine.int8_macs_per_second > 0, machine.f32_macs_per_second > 0) << "prefill needs both";
    EXPECT_GE(machine.int8_macs_per_second, machine.f32_macs_per_second);
  }
  EXPECT_EQ(names.size(), machines.size());
}

TEST(Machines, AreFoundByName) {
  const Machine machine = parse_machine("mac-m4-max-128");
  EXPECT_EQ(machine.memory_bytes, int64_t{128} << 30);
  EXPECT_DOUBLE_EQ(machine.read_bytes_per_second, 546e9);
  EXPECT_EQ(parse_machine("64:80").source, "");
  EXPECT_ERROR(parse_machine("mac-m9"), ErrorCode::kBadValue, "--machine 'mac-m9'");
  EXPECT_ERROR(parse_machine("mac-m9"), ErrorCode::kBadValue, "raspberry-pi-5-8");
}

TEST(Machines, AnEstimateIsTheBandwidthOverTheBytes) {
  const Checkpoint checkpoint = Checkpoint::open(test::golden("text/qwen3-dense"), {.config = true, .weights = true});
  const ModelDescription model = describe_model(checkpoint);
  const ModelPlan plan = plan_model(checkpoint, model, {}, parse_machine("h100-80"));
  EXPECT_TRUE(plan.fits());
  EXPECT_DOUBLE_EQ(plan.token_ms(), 1e3 * static_cast<double>(plan.work.bytes) / 3350e9);
  EXPECT_GT(plan.token_full_ms(), plan.token_ms());
  EXPECT_GT(plan.prefill_tps, 0);
}

TEST(Machines, ABadFileIsNamedByLine) {
  const std::string good =
      "[[machine]]\nname = \"a-1\"\ntitle = \"A\"\nmemory_gib = 1\nread_gbs = 2.5\nsource = \"S\"\n";
  const std::vector<KnownMachine> machines = read_machines(good, "m.toml");
  ASSERT_EQ(machines.size(), 1u);
  EXPECT_EQ(machines[0].machine.memory_bytes, int64_t{1} << 30);
  EXPECT_DOUBLE_EQ(machines[0].machine.read_bytes_per_second, 2.5e9);
  const auto expect_bad = [&](const std::string& text, ErrorCode code, const char* word) {
    EXPECT_ERROR(read_machines(text, "m.toml"), code, word);
  };
  expect_bad("x", ErrorCode::kBadValue, "m.toml: line 1: not TOML");
  expect_bad("", ErrorCode::kBadKey, "at least one");
  expect_bad("other = 1\n" + good, ErrorCode::kBadKey, "[[machine]]");
  expect_bad("machine = [1]", ErrorCode::kBadType, "must be tables");
  expect_bad(good + good, ErrorCode::kBadValue, "'a-1' is there twice");
  expect_bad(good + "speed = 1\n", ErrorCode::kBadKey, "line 7: unknown key 'speed'");
  expect_bad("[[machine]]\nname = \"a-1\"\n", ErrorCode::kMissingKey, "'title' is missing");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  expect_bad(with("= 2.5", "= -1"), ErrorCode::kBadValue, "line 5: 'read_gbs' is -1");
  expect_bad(with("= 2.5", "= nan"), ErrorCode::kBadValue, "'read_gbs' is nan");
  expect_bad(with("= 2.5", "= \"2\""), ErrorCode::kBadType, "'read_gbs' must be a number");
  expect_bad(with("\"S\"", "\"\""), ErrorCode::kBadValue, "'source' is empty");
  expect_bad(with("\"a-1\"", "\"64\""), ErrorCode::kBadValue, "is no name");
  expect_bad(with("\"a-1\"", "\"this\""), ErrorCode::kBadValue, "is no name");
}

}  // namespace
}  // namespace duet
