#include "model/families/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/golden_file.h"
#include "tests/support.h"

namespace duet::test {
namespace {

/// The tables that are one-dimensional and rotate whole heads: what the dense families use.
const char* const kTables[] = {"plain-5e5", "plain-1e6",    "plain-1e7", "llama31",
                               "llama32",   "llama4-scout", "yarn-qwen3"};

class RopeTable : public testing::TestWithParam<const char*> {};

TEST_P(RopeTable, FrequenciesAndFarPositionsEqualTheReference) {
  const std::string name = GetParam();
  const GoldenFile file(golden("text/rope_positions.safetensors"));
  const Json info = *parse_json(read_text_file(golden("text/rope_positions.json"), 1 << 20), "rope_positions.json")
                         .find("cases")
                         ->find(name);
  const auto expected = file.f32(name + ".inv_freq_f32");
  Fields config = Fields::of_json(info, "rope_positions.json");
  const RopeSpec rope =
      hf_rope(config, info.find("head_dim")->integer(), info.find("max_position_embeddings")->integer(), 10000.0);
  ASSERT_EQ(rope.inv_freq.size(), expected.size());
  EXPECT_NEAR(static_cast<double>(rope.factor), info.find("factor_on_cos_and_sin")->number(), 6e-8);
  const auto positions = file.i64(name + ".positions");
  const auto cos_f32 = file.f64(name + ".cos_f32"), sin_f32 = file.f64(name + ".sin_f32");
  for (size_t i = 0; i < expected.size(); ++i) {
    // The reference's powers are those of a vector library within 1 ulp of ours; a scaling adds two roundings.
    const double ulps = std::abs(static_cast<double>(rope.inv_freq[i]) - static_cast<double>(expected[i])) /
                        (std::nextafter(static_cast<double>(expected[i]), 1.0) * 0x1p-23);
    EXPECT_LE(ulps, 3.0) << "pair " << i;
    for (size_t p = 0; p < positions.size(); ++p) {
      const double angle = static_cast<double>(positions[p]) * static_cast<double>(expected[i]);
      const double factor = static_cast<double>(rope.factor);
      EXPECT_NEAR(std::cos(angle) * factor, cos_f32[p * expected.size() + i], 1e-7) << positions[p];
      EXPECT_NEAR(std::sin(angle) * factor, sin_f32[p * expected.size() + i], 1e-7) << positions[p];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, RopeTable, testing::ValuesIn(kTables), [](const auto& tested) {
  std::string name = tested.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

TEST(Rope, RefusesWhatItDoesNotKnow) {
  const auto rope_of = [](const char* json) {
    Fields config = Fields::of_json(parse_json(json, "config.json"), "config.json");
    return hf_rope(config, 8, 128, 10000.0);
  };
  EXPECT_ERROR(rope_of(R"({"rope_scaling":{"rope_type":"warp","factor":2}})"), ErrorCode::kUnsupportedFeature, "warp");
  EXPECT_ERROR(rope_of(R"({"rope_scaling":{"rope_type":"linear","factor":2,"spin":1}})"),
               ErrorCode::kUnsupportedFeature, "spin");
  EXPECT_ERROR(rope_of(R"({"rope_scaling":{"factor":2}})"), ErrorCode::kMissingKey, "rope_type");
  EXPECT_ERROR(rope_of(R"({"rope_scaling":{"rope_type":"yarn"}})"), ErrorCode::kMissingKey, "factor");
  EXPECT_ERROR(rope_of(R"({"rope_scaling":[1]})"), ErrorCode::kBadType, "rope_scaling");
  EXPECT_ERROR(rope_of(R"({"rope_theta":0})"), ErrorCode::kBadValue, "rope_theta");
  EXPECT_EQ(rope_of(R"({"rope_scaling":{"type":"linear","factor":4.0}})").inv_freq[0], 0.25f);
  EXPECT_EQ(rope_of(R"({"rope_parameters":{"rope_type":"default","rope_theta":100.0}})"), plain_rope(8, 100.0));
}

/// llama.cpp's converter writes a configuration's attention_factor as yarn_attn_factor; attn_factor multiplies.
TEST(Rope, GgufKeysOfYarn) {
  const auto rope_of = [](const std::string& more) {
    Fields fields = Fields::of_json(
        parse_json(R"({"rope.scaling.type":"yarn","rope.scaling.factor":4.0)" + more + "}", "model.gguf"),
        "model.gguf");
    const RopeSpec rope = gguf_rope(fields, 8, 128, {});
    EXPECT_TRUE(fields.stray().empty());
    return rope;
  };
  const double plain = 0.1 * std::log(4.0) + 1;
  EXPECT_NEAR(static_cast<double>(rope_of("").factor), plain, 1e-7);
  EXPECT_NEAR(static_cast<double>(rope_of(R"(,"rope.scaling.yarn_attn_factor":0.75)").factor), 0.75, 1e-7);
  EXPECT_NEAR(static_cast<double>(rope_of(R"(,"rope.scaling.attn_factor":0.5)").factor), 0.5 * plain, 1e-7);
  EXPECT_EQ(rope_of(R"(,"rope.scaling.yarn_ext_factor":1.0)"), rope_of(R"(,"rope.scaling.yarn_ext_factor":-1.0)"));
  EXPECT_ERROR(rope_of(R"(,"rope.scaling.yarn_ext_factor":0.5)"), ErrorCode::kUnsupportedFeature, "yarn_ext_factor");
}

}  // namespace
}  // namespace duet::test
