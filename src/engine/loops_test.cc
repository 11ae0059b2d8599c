// A step of one row hands few loops to the threads in each layer, whatever kind of layer it is: between loops memory
// rests, and memory is all that such a step waits for (docs/architecture.md).
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <utility>
#include <vector>

#include "model/synthetic.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;
using Sizes = std::vector<std::pair<const char*, int>>;

/// The configuration of a golden model with other sizes: the golden ones are too small to be shared.
std::string enlarged(const std::string& name, const Sizes& sizes) {
  std::string config = read_file(golden("text") / name / "config.json");
  for (const auto& [key, value] : sizes) {
    const std::regex field("\"" + std::string(key) + "\":\\s*[0-9]+");
    EXPECT_TRUE(std::regex_search(config, field)) << name << " " << key;
    config = std::regex_replace(config, field, "\"" + std::string(key) + "\":" + std::to_string(value));
  }
  return config;
}

/// Loops of a step of one row through the first `layers` layers.
int64_t loops_of(const fs::path& config, int64_t layers) {
  Runtime runtime(2);
  const Checkpoint checkpoint = open_synthetic(config, {.seed = 1, .layers = layers});
  Engine engine(Decoder::load(runtime.backend("cpu"), checkpoint, describe_model(checkpoint), {}, {}));
  const int64_t before = runtime.pool().shared_loops();
  score_all(engine, {{TokenId{1}}}, false);
  return runtime.pool().shared_loops() - before;
}

struct Model {
  const char* name;
  Sizes sizes;
  int64_t layers;
};

TEST(Loops, AreSixInALayerAtMost) {
  const fs::path folder = temporary_folder();
  const Sizes common = {{"hidden_size", 512}, {"num_attention_heads", 16}, {"num_key_value_heads", 4}};
  // A router of fewer experts is a single chunk, which is no loop.
  const Sizes experts = {{"moe_intermediate_size", 128}, {"num_experts", 64}, {"num_experts_per_tok", 8}};
  const Sizes delta = {{"linear_num_key_heads", 8},
                       {"linear_num_value_heads", 16},
                       {"linear_key_head_dim", 64},
                       {"linear_value_head_dim", 64},
                       {"shared_expert_intermediate_size", 256}};
  const auto all = [&](std::initializer_list<Sizes> parts) {
    Sizes sizes = common;
    for (const Sizes& part : parts) sizes.insert(sizes.end(), part.begin(), part.end());
    return sizes;
  };
  const Model models[] = {
      {"llama31-gqa-scaled", all({{{"intermediate_size", 1536}}}), 2},
      {"qwen3-dense", all({{{"intermediate_size", 1536}, {"head_dim", 64}}}), 2},
      {"qwen3moe", all({experts, {{"head_dim", 64}}}), 2},
      {"llama4-scout", all({{{"intermediate_size", 512}, {"head_dim", 64}}}), 4},  // its last layer without rope
      {"qwen3next", all({experts, delta, {{"head_dim", 128}}}), 4},  // three of DeltaNet, one of attention
      {"qwen35-moe", all({experts, delta, {{"head_dim", 128}}}), 4},
  };
  for (const Model& model : models) {
    const fs::path path = folder / "config.json";
    std::ofstream(path) << enlarged(model.name, model.sizes);
    int64_t before = loops_of(path, 1);
    EXPECT_GE(before, 4) << model.name;  // or nothing was shared
    for (int64_t layers = 2; layers <= model.layers; ++layers) {
      const int64_t loops = loops_of(path, layers);
      EXPECT_LE(loops - before, 6) << model.name << ", layer " << layers - 1;
      EXPECT_GE(loops - before, 3) << model.name << ", layer " << layers - 1;
      before = loops;
    }
  }
}

}  // namespace
}  // namespace duet::test
