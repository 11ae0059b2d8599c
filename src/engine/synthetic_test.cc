// Configurations with synthetic weights (model/synthetic.h): described, planned, and run where they are small.
#include "model/synthetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "engine/memory_plan.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> configurations(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "config.json")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

int64_t parameters(const Checkpoint& checkpoint) {
  int64_t sum = 0;
  for (const TensorEntry& tensor : checkpoint.tensors()) sum += tensor.shape.elements();
  return sum;
}

/// Logits of a few ids by a model of this configuration.
std::vector<float> run(const fs::path& path, const SyntheticOptions& options) {
  Runtime runtime(2);
  const Checkpoint checkpoint = open_synthetic(path, options);
  const ModelDescription model = describe_model(checkpoint);
  EXPECT_TRUE(model.listed == nullptr || model.listed->empty());
  Engine engine(Decoder::load(runtime.backend("cpu"), checkpoint, model, {}, {.mtp = true}));
  return score_all(engine, {{TokenId{1}, TokenId{2}, TokenId{3}, TokenId{2}}}, false, model.spec.mtp.has_value())
      .logits;
}

TEST(Synthetic, EveryGoldenConfigurationRuns) {
  const std::vector<fs::path> folders = configurations(golden("text"));
  ASSERT_GE(folders.size(), 20u);
  for (const fs::path& folder : folders) {
    SCOPED_TRACE(folder.filename());
    const std::vector<float> logits = run(folder, {.seed = 7});
    double squares = 0;
    for (const float l : logits) squares += static_cast<double>(l) * static_cast<double>(l);
    const double size = std::sqrt(squares / static_cast<double>(logits.size()));
    EXPECT_GT(size, 0.1);
    EXPECT_LT(size, 30);
    EXPECT_EQ(run(folder / "config.json", {.seed = 7}), logits);  // the same by its file
    EXPECT_NE(run(folder, {.seed = 8}), logits);
    EXPECT_NE(run(folder, {.seed = 7, .layers = 1}), logits);
  }
}

/// Of what the golden models really hold, experts fused or not.
TEST(Synthetic, HasTheNumbersThatTheFilesHave) {
  for (const fs::path& folder : configurations(golden("text"))) {
    const Checkpoint real = Checkpoint::open(folder, {.config = true, .weights = true});
    const Checkpoint synthetic = open_synthetic(folder, {});
    const ModelDescription synthetic_model = describe_model(synthetic);
    const ModelDescription model = describe_model(real);
    const auto elements = [](const ModelDescription& description) {
      int64_t sum = 0;
      for (const TensorPlan& tensor : description.tensors) {
        if (!tensor.canonical.starts_with("mtp.")) sum += tensor.shape.elements();
      }
      return sum;
    };
    EXPECT_EQ(elements(synthetic_model), elements(model)) << folder;
  }
}

TEST(Synthetic, RefusesWhatItCannotBe) {
  const fs::path folder = golden("text/qwen3-dense");
  EXPECT_ERROR(open_synthetic(folder, {.layers = 100}), ErrorCode::kBadValue, "100 layers");
  EXPECT_ERROR(open_synthetic(folder, {.layers = 0}), ErrorCode::kBadValue, "0 layers");
  EXPECT_ERROR(open_synthetic(temporary_folder(), {}), ErrorCode::kNotFound, "config.json");
  EXPECT_ERROR(open_synthetic(folder / "absent.json", {}), ErrorCode::kNotFound, "absent.json");
  const fs::path other = temporary_folder() / "config.json";
  std::ofstream(other) << R"({"architectures": ["GPT2LMHeadModel"]})";
  EXPECT_ERROR(open_synthetic(other, {}), ErrorCode::kUnsupportedArchitecture, "GPT2LMHeadModel");
}

/// Vision-language models that Duet has not: a clear error. All others are described and planned; of those whose makers
/// publish it the number of parameters is right.
TEST(Synthetic, EveryRealConfigurationIsPlanned) {
  DUET_SKIP_WITHOUT_ASSETS("models/configs");
  const std::map<std::string, std::string> unsupported = {
      {"Qwen__Qwen2.5-VL-7B-Instruct", "Qwen2_5_VLForConditionalGeneration"},
      {"Qwen__Qwen3-VL-2B", "Qwen3VLForConditionalGeneration"},
      {"Qwen__Qwen3-VL-4B", "Qwen3VLForConditionalGeneration"},
      {"Qwen__Qwen3-VL-30B-A3B", "Qwen3VLMoeForConditionalGeneration"}};
  const std::map<std::string, int64_t> published = {{"Qwen__Qwen2.5-0.5B", 494'032'768},
                                                    {"Qwen__Qwen3-8B", 8'190'735'360},
                                                    {"Qwen__Qwen3-30B-A3B-Base", 30'532'122'624},
                                                    {"Qwen__Qwen3-235B-A22B", 235'093'634'560},
                                                    {"meta-llama__Llama-3.1-8B-Instruct", 8'030'261'248},
                                                    {"meta-llama__Llama-3.1-70B-Instruct", 70'553'706'496},
                                                    {"meta-llama__Llama-3.2-1B-Instruct", 1'235'814'400}};
  const std::vector<fs::path> folders = configurations(assets("models/configs"));
  ASSERT_GE(folders.size(), 20u);
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename();
    SCOPED_TRACE(name);
    if (const auto found = unsupported.find(name); found != unsupported.end()) {
      EXPECT_ERROR(open_synthetic(folder, {}), ErrorCode::kUnsupportedArchitecture, found->second);
      continue;
    }
    const Checkpoint checkpoint = open_synthetic(folder, {});
    const ModelDescription model = describe_model(checkpoint);
    const MemoryPlan plan = plan_memory(model, {.sequences = 2});
    if (const auto found = published.find(name); found != published.end()) {
      EXPECT_EQ(parameters(checkpoint), found->second);
    }
    EXPECT_GT(plan.weights.total(), parameters(checkpoint));  // two bytes each, without an MTP head
    EXPECT_LE(plan.weights.total(), parameters(checkpoint) * 2 + parameters(checkpoint) / 50);
    EXPECT_GT(plan.sequence_bytes(), 0);
    const Checkpoint one_layer = open_synthetic(folder, {.layers = 1});
    const MemoryPlan short_plan = plan_memory(describe_model(one_layer), {});
    EXPECT_LT(short_plan.weights.total(), plan.weights.total());
  }
}

TEST(Synthetic, ARealConfigurationRuns) {
  DUET_SKIP_WITHOUT_ASSETS("models/configs/Qwen__Qwen2.5-0.5B");
  const std::vector<float> logits = run(assets("models/configs/Qwen__Qwen2.5-0.5B"), {.layers = 2});
  EXPECT_EQ(logits.size(), size_t{4} * 151936);
}

}  // namespace
}  // namespace duet::test
