#include "model/registry.h"

#include <gtest/gtest.h>

#include <fstream>

#include "model/weights.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

/// A copy of a golden folder whose config.json has one text replaced by another.
fs::path edited(const std::string& name, const std::string& from, const std::string& to) {
  const fs::path folder = temporary_folder() / name;
  fs::copy(golden("text/" + name), folder, fs::copy_options::recursive);
  std::string text = read_text_file(folder / "config.json", 1 << 20);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  std::ofstream(folder / "config.json") << text;
  return folder;
}

ModelDescription describe(const fs::path& path) {
  static std::vector<std::unique_ptr<Checkpoint>> open;  // descriptions point into their checkpoints
  open.push_back(std::make_unique<Checkpoint>(Checkpoint::open(path, {.config = true, .weights = true})));
  return describe_model(*open.back());
}

TEST(DescribeModel, FamiliesDifferAsDataOnly) {
  const auto llama = describe(golden("text/llama31-gqa-scaled"));
  EXPECT_EQ(llama.spec.family, "llama");
  const auto& mixer = std::get<AttentionMixer>(llama.spec.layers[0].mixer);
  EXPECT_EQ(mixer.heads, 4);
  EXPECT_EQ(mixer.kv_heads, 2);
  EXPECT_EQ(mixer.head_dim, 20);
  EXPECT_FALSE(mixer.qkv_bias);
  EXPECT_EQ(mixer.qk_norm, QkNorm::kNone);

  const auto qwen2 = describe(golden("text/qwen2-window"));
  std::vector<int64_t> windows;
  for (const LayerSpec& layer : qwen2.spec.layers) windows.push_back(std::get<AttentionMixer>(layer.mixer).window);
  EXPECT_EQ(windows, (std::vector<int64_t>{0, 0, 12, 12}));
  EXPECT_TRUE(std::get<AttentionMixer>(qwen2.spec.layers[0].mixer).qkv_bias);

  const auto qwen3 = describe(golden("text/qwen3-tied"));
  EXPECT_TRUE(qwen3.spec.tied_head);
  EXPECT_EQ(std::get<AttentionMixer>(qwen3.spec.layers[0].mixer).qk_norm, QkNorm::kWeightedBeforeRope);
  EXPECT_EQ(qwen3.find("lm_head.weight"), nullptr);
}

TEST(DescribeModel, StrayKeysAreNamedAndChangeNothing) {
  const auto model = describe(edited("qwen3-dense", "\"use_cache\": true", "\"use_cache\": true, \"mystery\": 3"));
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_NE(model.warnings[0].find("mystery"), std::string::npos);
}

TEST(DescribeModel, NewAndOldSpellingsOfWindowsAgree) {
  const auto listed =
      describe(edited("qwen2-window", "\"max_window_layers\": 2",
                      "\"layer_types\": [\"full_attention\", \"full_attention\", \"sliding_attention\", "
                      "\"sliding_attention\"]"));
  EXPECT_EQ(std::get<AttentionMixer>(listed.spec.layers[1].mixer).window, 0);
  EXPECT_EQ(std::get<AttentionMixer>(listed.spec.layers[2].mixer).window, 12);
  EXPECT_ERROR(describe(edited("qwen2-window", "\"max_window_layers\": 2", "\"layer_types\": [\"full_attention\"]")),
               ErrorCode::kBadValue, "layer_types");
  EXPECT_ERROR(
      describe(edited("qwen2-window", "\"max_window_layers\": 2",
                      "\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", \"chunked\"]")),
      ErrorCode::kUnsupportedFeature, "chunked");
}

TEST(DescribeModel, RefusesWhatTheConfigurationDoesNotExplain) {
  EXPECT_ERROR(describe(edited("qwen3-dense", "\"hidden_size\": 56", "\"hidden_size\": 55")), ErrorCode::kShapeMismatch,
               "embed_tokens");
  EXPECT_ERROR(describe(edited("qwen3-dense", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"")),
               ErrorCode::kUnsupportedFeature, "gelu");
  EXPECT_ERROR(describe(edited("qwen3-dense", "Qwen3ForCausalLM", "Qwen9ForCausalLM")),
               ErrorCode::kUnsupportedArchitecture, "Qwen9");
  EXPECT_ERROR(describe(edited("llama-bias", "\"mlp_bias\": true", "\"mlp_bias\": false")),
               ErrorCode::kUnexpectedTensor, "bias");
  EXPECT_ERROR(describe(edited("llama2-mha", "\"mlp_bias\": false", "\"mlp_bias\": true")), ErrorCode::kMissingTensor,
               "bias");
  EXPECT_ERROR(describe(edited("qwen35-dense", "\"mtp_num_hidden_layers\": 1", "\"mtp_num_hidden_layers\": 2")),
               ErrorCode::kUnsupportedFeature, "mtp_num_hidden_layers");
}

TEST(DescribeModel, VisionIsNamedNotSilentlyIgnored) {
  for (const char* name :
       {"Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration", "Qwen3VLForConditionalGeneration",
        "Qwen3VLMoeForConditionalGeneration", "MllamaForConditionalGeneration"}) {
    const fs::path folder = edited("qwen3-dense", "Qwen3ForCausalLM", name);
    EXPECT_ERROR(describe(folder), ErrorCode::kUnsupportedArchitecture, name);
    EXPECT_ERROR(describe(folder), ErrorCode::kUnsupportedArchitecture, "images");
    EXPECT_ERROR(describe(folder), ErrorCode::kUnsupportedArchitecture, "vision is not used yet");
  }
}

TEST(RowMap, PutsInterleavedRowsBackIntoHalves) {
  // Two heads of 6 rows: canonical rows 0 1 2 | 3 4 5 stand in the file as 0 3 1 4 2 5.
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < 12; ++i) rows.push_back(RowMap::paired(12, 2).stored(i));
  EXPECT_EQ(rows, (std::vector<int64_t>{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}));
  EXPECT_EQ(RowMap{}.stored(5), 5);
  // The gate of an attention: for each head 3 rows of q, then 3 of the gate.
  rows.clear();
  for (int64_t i = 0; i < 6; ++i) rows.push_back((RowMap{.first = 3, .run = 3, .stride = 6}).stored(i));
  EXPECT_EQ(rows, (std::vector<int64_t>{3, 4, 5, 9, 10, 11}));
}

}  // namespace
}  // namespace duet::test
