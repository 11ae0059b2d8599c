// delta_mix() as one loop has the bits of the ops one after the other, in what comes out and in the states, step after
// step. The laws (delta_laws_test.cc) compare both in every step as well.
#include <gtest/gtest.h>

#include "backend/cpu/delta_test_data.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"

namespace duet {
namespace {

using test::Cpu;
using test::delta_rows;
using test::DeltaDims;
using test::DeltaInputs;
using test::DeltaRow;
using test::DeltaStates;

class DeltaMixLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(DeltaMix, DeltaMixLevel, testing::ValuesIn(test::all_levels()),
                         [](const auto& level) { return level.param; });

struct Step {
  std::vector<DeltaRow> rows;
  std::map<int64_t, int64_t> certain_end = {};
};

/// One row of each sequence that has the position, in turns.
Step in_turns(const std::vector<int64_t>& positions) {
  Step step;
  for (size_t s = 0; s < positions.size(); ++s) {
    const auto sequence = static_cast<int64_t>(s);
    if (positions[s] >= 0) step.rows.push_back({sequence, sequence, positions[s]});
  }
  return step;
}

/// Steps of four sequences: prompts, single rows across anchors, drafts right and wrong, and all at once.
std::vector<Step> steps() {
  std::vector<Step> all;
  const auto add = [&](Step step) { all.push_back(std::move(step)); };
  add({delta_rows(0, 1, 2)});  // from nothing on rubbish
  add({delta_rows(0, 32)});    // as long as few rows can be
  add({delta_rows(32, 65)});   // too long
  for (int64_t p = 65; p < 68; ++p) add({delta_rows(p, p + 1)});
  add({delta_rows(0, 70, 3)});
  for (int64_t p = 1; p < 36; ++p) add(in_turns({67 + p, p - 1, p, -1}));  // one of them without rows
  add({delta_rows(103, 120), {{0, 104}}});                                 // 16 drafts, of which 15 are right
  add({delta_rows(119, 136), {{0, 120}}});                                 // behind the border
  add({delta_rows(120, 124), {{0, 121}}});                                 // none was right
  Step mixed;                                                              // rows of all in one step, with drafts
  for (int64_t i = 0; i < 20; ++i) {
    if (i < 5) mixed.rows.push_back({0, 0, 121 + i, i > 2 ? 9U : 0U});
    mixed.rows.push_back({3, 3, 70 + i});
    if (i % 7 == 0) mixed.rows.push_back({1, 1, 35 + i / 7});
  }
  mixed.certain_end = {{0, 124}, {3, 85}, {1, 36}};
  add(mixed);
  add(in_turns({124, 36, 36, 86}));
  add({delta_rows(0, 3, 1)});  // begins anew
  return all;
}

/// What all steps leave, and the states in the end.
std::vector<float> outcome(Backend& backend, const DeltaDims& dims, bool at_once) {
  const DeltaStates states(dims, 4, 0xFF);
  std::vector<float> all;
  for (const Step& step : steps()) {
    DeltaInputs inputs(dims, states, step.rows, step.certain_end);
    const std::vector<float> out = inputs.mix(backend, at_once);
    all.insert(all.end(), out.begin(), out.end());
  }
  const std::vector<float> bytes = states.floats();
  all.insert(all.end(), bytes.begin(), bytes.end());
  return all;
}

TEST_P(DeltaMixLevel, HasTheBitsOfOpsOneAfterTheOther) {
  for (const DeltaDims& dims :
       {DeltaDims{2, 4, 16, 16, 4, false}, DeltaDims{3, 3, 12, 8, 2, false}, DeltaDims{2, 6, 20, 36, 3, true},
        DeltaDims{1, 2, 8, 20, 4, false}, DeltaDims{4, 8, 12, 40, 1, true}, DeltaDims{1, 1, 7, 70, 8, false}}) {
    std::vector<float> first;
    for (const int threads : {1, 3, 9}) {
      const Cpu cpu(GetParam(), threads);
      const std::vector<float> apart = outcome(*cpu.backend, dims, false);
      EXPECT_TRUE(test::same_bits(outcome(*cpu.backend, dims, true), apart)) << to_string(dims) << ", " << threads;
      if (first.empty()) first = apart;
      EXPECT_TRUE(test::same_bits(apart, first)) << to_string(dims) << ", " << threads;
    }
  }
}

/// Value heads may be of any key head, and none of some.
TEST_P(DeltaMixLevel, KeyHeadsNeedNotHaveTheSameValueHeads) {
  const DeltaDims dims = {3, 5, 12, 24, 4, false, {2, 0, 2, 2, 0}};
  for (const int threads : {1, 4}) {
    const Cpu cpu(GetParam(), threads);
    EXPECT_TRUE(test::same_bits(outcome(*cpu.backend, dims, true), outcome(*cpu.backend, dims, false))) << threads;
  }
}

TEST_P(DeltaMixLevel, ATokenIsOneLoop) {
  const DeltaDims dims = {16, 32, 128, 128, 4, false};  // of Qwen3-Next
  for (const int threads : {2, 6, 12}) {
    const Cpu cpu(GetParam(), threads);
    for (const int64_t sequences : {1, 2}) {
      const DeltaStates states(dims, sequences, 0xFF);
      for (int64_t p = 0; p < 2; ++p) {
        DeltaInputs inputs(dims, states, in_turns(std::vector<int64_t>(static_cast<size_t>(sequences), p)).rows);
        const int64_t before = cpu.pool->shared_loops();
        inputs.mix(*cpu.backend, true);
        EXPECT_EQ(cpu.pool->shared_loops() - before, 1) << threads << " threads, " << sequences << " sequences";
      }
    }
  }
}

}  // namespace
}  // namespace duet
