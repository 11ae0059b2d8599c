#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include <set>

#include "backend/limits.h"
#include "ops/device.h"
#include "state/sequence_state.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

/// Every model of tests/golden/text, and GGUF files with quantized weights.
std::vector<fs::path> golden_models() {
  std::set<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(golden("text"))) {
    if (fs::exists(entry.path() / "config.json")) paths.insert(entry.path());
  }
  for (const char* set : {"gguf", "gguf_quant"}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(golden(set))) {
      if (entry.path().extension() == ".gguf") paths.insert(entry.path());
    }
  }
  return {paths.begin(), paths.end()};
}

TEST(MemoryPlan, EqualsWhatIsReallyTaken) {
  const std::vector<fs::path> models = golden_models();
  ASSERT_GE(models.size(), 40u);
  Runtime runtime(1);
  for (const fs::path& path : models) {
    for (const bool mtp : {false, true}) {
      SCOPED_TRACE(testing::Message() << path.filename() << " mtp " << mtp);
      DecoderOptions arithmetic{.activations = Activations::kNative, .mtp = mtp, .kv_type = DType::kF16};
      const auto model = load_model(path, runtime, "cpu", arithmetic);
      const Decoder& decoder = *model->decoder;
      EXPECT_EQ(weight_parts(model->description, mtp).total(), decoder.weight_bytes());
      if (!mtp) {
        const WeightWork planned = weight_work(model->description, Activations::kNative), real = decoder.weight_work();
        EXPECT_EQ(planned.bytes, real.bytes);
        EXPECT_EQ(planned.native_macs, real.native_macs);
        EXPECT_EQ(planned.float_macs, real.float_macs);
        EXPECT_EQ(planned.head_macs, real.head_macs);
        EXPECT_EQ(planned.native_head, real.native_head);
      }
      for (const int64_t tokens : {int64_t{1}, int64_t{64}, int64_t{65}, decoder.spec().context_tokens}) {
        const MemoryPlan plan =
            plan_memory(model->description, {.context_tokens = tokens, .sequences = 3, .arithmetic = arithmetic});
        SequenceState state(ops::device_of(decoder.backend()), decoder.state_layout());
        int64_t highest = 0;
        for (int64_t at = 0; at < tokens;) {  // as the engine does it, in steps
          const int64_t end = std::min<int64_t>(tokens, at + 256);
          state.reserve(end);
          highest = std::max(highest, state.bytes());
          if (end < tokens) state.advance_to(end);
          at = end;
        }
        int64_t chunk_page = 0;  // a chunk's place relative to the steps is not known: up to a page more is planned
        for (const StateLayout::PageGroup& group : decoder.state_layout().groups()) {
          if (group.reach.chunk > 0) chunk_page = group.page_bytes;
        }
        if (chunk_page == 0) {
          EXPECT_EQ(plan.sequence_bytes(), state.bytes()) << tokens;
        } else {
          EXPECT_GE(plan.sequence_bytes(), highest) << tokens;
          EXPECT_LE(plan.sequence_bytes(), highest + chunk_page) << tokens;
        }
        EXPECT_EQ(plan.logits_bytes + plan.scratch_bytes - cpu_scratch_bytes(1) -
                      cpu_activation_bytes(widest_matrix(model->description)),
                  decoder.scratch_bytes(std::min<int64_t>(tokens, 256), 3) + 3 * decoder.spec().vocabulary * 4);
      }
    }
  }
}

TEST(MemoryPlan, GrowsWithContextSequencesAndTypes) {
  const Checkpoint checkpoint = Checkpoint::open(golden("text/qwen35-moe"), {.config = true, .weights = true});
  const ModelDescription model = describe_model(checkpoint);
  const auto plan = [&](int64_t context, int64_t sequences, DType type) {
    return plan_memory(model, {.context_tokens = context, .sequences = sequences, .arithmetic = {.kv_type = type}});
  };
  const MemoryPlan one = plan(64, 1, DType::kF32), two = plan(128, 1, DType::kF32), many = plan(64, 5, DType::kF32);
  EXPECT_EQ(two.kv_bytes, 2 * one.kv_bytes);
  EXPECT_EQ(two.recurrent_bytes, one.recurrent_bytes);
  EXPECT_GT(one.recurrent_bytes, 0);
  EXPECT_EQ(many.state_bytes(), 5 * one.state_bytes());
  EXPECT_EQ(many.weights.total(), one.weights.total());
  EXPECT_EQ(2 * plan(64, 1, DType::kF16).kv_bytes, one.kv_bytes);
  EXPECT_GT(one.weights.experts, 0);
  EXPECT_GT(one.weights.delta_net, 0);
  EXPECT_EQ(plan(0, 1, DType::kF32).context_tokens, model.spec.context_tokens);
  EXPECT_ERROR(plan(model.spec.context_tokens + 1, 1, DType::kF32), ErrorCode::kBadValue, "context");
  EXPECT_ERROR(plan(1, 0, DType::kF32), ErrorCode::kBadValue, "sequences");
}

}  // namespace
}  // namespace duet::test
