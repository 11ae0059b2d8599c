#include "report/bench.h"

#include "tests/support.h"

namespace duet {
namespace {

/// Two layers, one of them with a window, with round numbers.
ModelSpec small_spec() {
  ModelSpec spec;
  AttentionMixer mixer;
  mixer.heads = 4;
  mixer.kv_heads = 2;
  mixer.head_dim = 8;
  spec.layers.push_back({mixer, DenseFfn{}});
  mixer.window = 3;
  spec.layers.push_back({mixer, DenseFfn{}});
  return spec;
}

TEST(Bench, AStepReadsWeightsOnceAndEverySequencesState) {
  const WeightWork weights{.bytes = 1000, .native_macs = 10, .float_macs = 2, .head_macs = 7, .native_head = true};
  const SpeedPlan plan{.prompt_tokens = 3, .answer_tokens = 9, .depth_tokens = 100, .sequences = 4};
  EXPECT_EQ(step_work(small_spec(), weights, 16, plan).writing_bytes, 1000 + 4 * 105 * 16);
  EXPECT_EQ(step_work(small_spec(), weights, 16, {.prompt_tokens = 3, .answer_tokens = 9}).writing_bytes,
            1000 + 5 * 16);
}

TEST(Bench, APromptMultipliesWeightsForEachTokenAndTheHeadOnce) {
  WeightWork weights{.bytes = 1000, .native_macs = 10, .float_macs = 2, .head_macs = 7, .native_head = true};
  const SpeedPlan plan{.prompt_tokens = 3, .answer_tokens = 1, .depth_tokens = 1};
  // Queries at 1, 2, 3 see 2, 3, 4 keys without a window, 2, 3, 3 with one; each key takes 2 products of 8 numbers.
  constexpr int64_t kAttention = 2 * 4 * 8 * (9 + 8);
  StepWork work = step_work(small_spec(), weights, 16, plan);
  EXPECT_EQ(work.reading_native_macs, 3 * 10 + 7);
  EXPECT_EQ(work.reading_float_macs, 3 * 2 + kAttention);
  weights.native_head = false;
  work = step_work(small_spec(), weights, 16, plan);
  EXPECT_EQ(work.reading_native_macs, 3 * 10);
  EXPECT_EQ(work.reading_float_macs, 3 * 2 + 7 + kAttention);
}

TEST(Bench, SharesOfTheLimits) {
  MachineLimits limits;
  limits.reads = {1000, 500};  // of a machine that became slower, and so did the model
  limits.peaks = {{"int8", "", 400}, {"bf16", "", 200}, {"f32", "", 100}};
  const StepWork work{.writing_bytes = 50, .reading_native_macs = 200, .reading_float_macs = 100};
  const SpeedPlan plan{.prompt_tokens = 8, .sequences = 2};
  const Speed speed = speed_of({{.reading = 2, .writing = 20}, {.reading = 2, .writing = 10}});
  const Reached share = reached(work, plan, speed, limits);
  EXPECT_DOUBLE_EQ(share.writing, 10.0 * 50 / 1000);
  EXPECT_DOUBLE_EQ(share.reading, (0.5 + 1.0) / 4.0);
}

TEST(Bench, RatiosAreOfNeighbours) {
  const Speed ours = speed_of({{10, 4}, {20, 4}}), theirs = speed_of({{0, 2}, {10, 1}});
  const SpeedRatio found = ratio(ours, theirs);
  EXPECT_EQ(found.writing.low, 2);
  EXPECT_EQ(found.writing.high, 4);
  EXPECT_EQ(found.writing.median, 3);
  EXPECT_EQ(found.reading.median, 2) << "the run without a figure does not count";
  EXPECT_EQ(ratio(ours, {}).reading.median, 0);
}

TEST(Bench, WeightWorkCountsTheHeadOnceAndNoTable) {
  Session tied(test::golden("gguf/llama32-tied.bf16.gguf"), {.threads = 1});
  const ModelSpec& spec = tied.model().description().spec;
  const WeightWork work = tied.decoder().weight_work();
  EXPECT_TRUE(spec.tied_head);
  EXPECT_EQ(work.bytes, tied.decoder().weight_bytes());
  EXPECT_EQ(work.head_macs, spec.vocabulary * spec.hidden_dim);
  int64_t macs = 0;
  for (const LayerSpec& layer : spec.layers) {
    const auto& mixer = std::get<AttentionMixer>(layer.mixer);
    macs += 2 * spec.hidden_dim * (mixer.heads + mixer.kv_heads) * mixer.head_dim;
    macs += 3 * spec.hidden_dim * std::get<DenseFfn>(layer.ffn).ffn_dim;
  }
  EXPECT_EQ(work.float_macs, macs);
  EXPECT_EQ(work.native_macs, 0);
}

TEST(Bench, MeasuresAModel) {
  const auto open = [](const SessionOptions&) {
    return std::make_unique<Session>(test::golden("gguf/llama32-tied.bf16.gguf"), SessionOptions{.threads = 2});
  };
  BenchOptions options;
  options.plan = {.prompt_tokens = 8, .answer_tokens = 3};
  options.repetitions = 2;
  int64_t steps = 0;
  const BenchResult result = bench(open, {}, options, {}, [&](auto, int64_t, int64_t total) { steps = total; });
  EXPECT_EQ(steps, 3);
  EXPECT_EQ(result.threads, 2);
  EXPECT_EQ(result.level, cpu_level_name());
  EXPECT_EQ(result.speed.samples.size(), 2u);
  EXPECT_GT(result.load_seconds, 0);
  EXPECT_GT(result.first_token_seconds, result.load_seconds);
  EXPECT_GT(result.resident_bytes, uint64_t{1} << 20);
  EXPECT_GT(result.limits.read.median, 0);
  EXPECT_GT(result.share.writing, 0);
  EXPECT_GT(result.share.reading, 0);
  EXPECT_ERROR(bench(open, {}, options, [] { return true; }, {}), ErrorCode::kCancelled, "interrupted");
}

}  // namespace
}  // namespace duet
