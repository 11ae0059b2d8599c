// Configurations as their tools write them (golden/weight_formats), with one thing changed, and what they say of
// modules.
#include "model/families/quantization_config.h"

#include <gtest/gtest.h>

#include <fstream>

#include "model/families/module_pattern.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

QuantizationConfig read(const std::string& text, std::vector<std::string>* warnings = nullptr) {
  const fs::path folder = temporary_folder();
  std::ofstream(folder / "config.json") << text;
  std::vector<std::string> own;
  const Checkpoint checkpoint = Checkpoint::open(folder, {.config = true});
  return *QuantizationConfig::read(checkpoint, warnings != nullptr ? *warnings : own);
}

/// A configuration of golden/weight_formats with one text replaced by another.
std::string edited(const std::string& format, const std::string& from, const std::string& to) {
  std::string text = read_text_file(golden("weight_formats/" + format + "/linear/config.json"), 1 << 20);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << format << ": " << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

struct Mutation {
  const char *format, *from, *to;
  ErrorCode code;
  const char* word;
};

TEST(QuantizationConfig, WhatNoSchemeHasIsAnErrorThatNamesIt) {
  constexpr ErrorCode kFeature = ErrorCode::kUnsupportedFeature, kValue = ErrorCode::kBadValue,
                      kType = ErrorCode::kBadType, kMissing = ErrorCode::kMissingKey;
  const Mutation mutations[] = {
      {"fp8_block", R"("quant_method": "fp8")", R"("quant_method": "warp")", kFeature, "quant_method is 'warp'"},
      {"fp8_block", R"("quant_method": "fp8")", R"("quant_method": 8)", kType, "quant_method"},
      {"fp8_block", R"("quant_method": "fp8")", R"("other": 8)", kMissing, "quant_method"},
      {"fp8_block", R"("e4m3")", R"("e5m2")", kFeature, "fmt is 'e5m2'"},
      {"fp8_block", "128\n", "0\n", kValue, "weight_block_size"},
      {"fp8_block", R"("dynamic")", R"("sometimes")", kFeature, "activation_scheme"},
      {"ct_fp8_tensor", R"("float-quantized")", R"("marlin-24")", kFeature, "format is 'marlin-24'"},
      {"ct_fp8_tensor", R"("config_groups")", R"("groups")", kMissing, "config_groups"},
      {"ct_fp8_tensor", R"("strategy": "tensor",
          "symmetric": true,
          "type": "float"
        }
      }
    },)",
       R"("strategy": "diagonal", "symmetric": true, "type": "float"}}},)", kFeature, "weights.strategy is 'diagonal'"},
      {"ct_fp8_tensor", R"("kv_cache_scheme": null)", R"("kv_cache_scheme": {"num_bits": 8})", kFeature,
       "kv_cache_scheme"},
      {"ct_fp8_tensor", R"(: "compressed")", R"(: "frozen")", kFeature, "quantization_status"},
      {"ct_int4", R"("num_bits": 4)", R"("num_bits": 3)", kFeature, "num_bits is 3"},
      {"ct_int4", R"("group_size": 128)", R"("group_size": 0)", kValue, "group_size"},
      {"ct_int4", R"("group_size": 128)", R"("group_size": "big")", kType, "group_size"},
      {"ct_int4", R"("type": "int")", R"("type": "float")", kFeature, "type is 'float'"},
      {"ct_int4", R"("lm_head")", "7", kType, "ignore"},
      {"ct_mxfp4", R"("group_size": 32)", R"("group_size": 64)", kFeature, "group_size is 64"},
      {"ct_nvfp4", R"("num_bits": 4)", R"("num_bits": 8)", kFeature, "num_bits is 8"},
      {"awq", R"("bits": 4)", R"("bits": 3)", kFeature, "bits is 3"},
      {"awq", R"("gemm")", R"("gemv")", kFeature, "version is 'gemv'"},
      {"awq", R"("zero_point": true)", R"("zero_point": false)", kFeature, "zero_point"},
      {"awq", R"("group_size": 128)", R"("group_size": -2)", kValue, "group_size"},
      {"gptq4", R"("bits": 4)", R"("bits": 2)", kFeature, "bits is 2"},
      {"gptq4", R"("checkpoint_format": "gptq")", R"("checkpoint_format": "marlin")", kFeature, "checkpoint_format"},
      {"gptq4", R"("desc_act": false)", R"("desc_act": "no")", kType, "desc_act"},
      {"gptq4", R"("bits": 4)", R"("dynamic": {"+:.*": {"bits": 8}}, "bits": 4)", kFeature, "dynamic"},
      {"nf4", R"("nf4")", R"("fp4")", kFeature, "bnb_4bit_quant_type is 'fp4'"},
      {"nf4", R"("load_in_8bit": false,
    "quant)",
       R"("load_in_8bit": true,
    "quant)",
       kFeature, "load_in_8bit"},
      {"nf4", R"("uint8")", R"("bfloat16")", kFeature, "bnb_4bit_quant_storage"},
  };
  for (const Mutation& m : mutations) {
    SCOPED_TRACE(std::string(m.format) + ": " + m.to);
    EXPECT_ERROR(read(edited(m.format, m.from, m.to)), m.code, m.word);
  }
  EXPECT_ERROR(read(R"({"quantization_config": "awq"})"), kType, "quantization_config");
  std::vector<std::string> warnings;
  read(edited("awq", R"("bits": 4)", R"("bits": 4, "mystery": 1)"), &warnings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("quantization_config.mystery"), std::string::npos);
}

TEST(QuantizationConfig, SaysWhichModulesArePlain) {
  const QuantizationConfig ct = read(edited("ct_int4", R"("lm_head")", R"("lm_head", "re:.*mlp\\.up_proj$")"));
  EXPECT_EQ(ct.storage("lm_head"), Storage::kPlain);
  EXPECT_EQ(ct.storage("model.layers.3.mlp.up_proj"), Storage::kPlain);
  EXPECT_EQ(ct.storage("model.layers.3.mlp.down_proj"), Storage::kQuantised);
  EXPECT_EQ(ct.storage("model.embed_tokens"), Storage::kEither);
  const QuantizationConfig awq = read(edited("awq", "null", R"(["visual", "model.layers.2"])"));
  EXPECT_EQ(awq.storage("model.layers.2.self_attn.q_proj"), Storage::kPlain);
  EXPECT_EQ(awq.storage("model.layers.20.self_attn.q_proj"), Storage::kEither);  // another tool would leave it plain
  EXPECT_EQ(awq.storage("model.layers.3.self_attn.q_proj"), Storage::kQuantised);
  const QuantizationConfig some = read(edited("ct_int4", R"("Linear")", R"("re:model\\.layers\\.0\\..*")"));
  EXPECT_EQ(some.storage("model.layers.0.mlp.up_proj"), Storage::kQuantised);
  EXPECT_EQ(some.storage("model.layers.1.mlp.up_proj"), Storage::kPlain);
}

TEST(QuantizationConfig, SeveralGroupsEachHaveTheirTargets) {
  const QuantizationConfig config = read(R"({"quantization_config": {"quant_method": "compressed-tensors",
    "format": "mixed-precision", "config_groups": {
      "a": {"format": "pack-quantized", "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 64}},
      "b": {"format": "int-quantized", "targets": ["re:.*down_proj"],
            "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}}}})");
  EXPECT_EQ(config.scheme("model.layers.0.mlp.up_proj")->form, WeightForm::kPacked);
  EXPECT_EQ(config.scheme("model.layers.0.mlp.up_proj")->group, 64);
  EXPECT_EQ(config.scheme("model.layers.0.mlp.down_proj")->form, WeightForm::kScaled);
}

TEST(ModulePattern, MatchesAsPythonDoesOrSaysThatItDoesNotKnow) {
  EXPECT_EQ(match_expression(".*mlp\\.gate$", "model.layers.1.mlp.gate"), Match::kYes);
  EXPECT_EQ(match_expression(".*mlp\\.gate$", "model.layers.1.mlp.gate_proj"), Match::kNo);
  EXPECT_EQ(match_expression(".*mlp\\.gate", "model.layers.1.mlp.gate_proj"), Match::kYes);  // re.match needs no end
  EXPECT_EQ(match_expression("visual.*", "model.visual.x"), Match::kNo);
  EXPECT_EQ(match_expression("a+b", "aaab"), Match::kYes);
  EXPECT_EQ(match_expression("a+b", "b"), Match::kNo);
  EXPECT_EQ(match_expression("", "b"), Match::kYes);
  EXPECT_EQ(match_expression(".*(q|k)_proj", "q_proj"), Match::kMaybe);
  EXPECT_EQ(match_expression("a\\", "a"), Match::kMaybe);
  EXPECT_EQ(match_expression("layers\\.\\d+", "layers.1"), Match::kMaybe);
  EXPECT_EQ(match_expression(std::string(2000, '.') + "*x", std::string(5000, 'a')), Match::kNo);
}

}  // namespace
}  // namespace duet::test
