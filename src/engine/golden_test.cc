// Tiny models of every architecture against the reference's logits, hidden states and greedy ids (tests/golden/text,
// gguf, gguf_quant; bounds as their READMEs derive them).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/backend.h"
#include "tests/compare.h"
#include "tests/golden_file.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

const char* const kTextCases[] = {"llama2-mha",    "llama31-gqa-scaled", "llama32-tied",
                                  "llama-headdim", "llama-bias",         "llama-f16",
                                  "llama-f32",     "llama-sharded",      "smollm2-like",
                                  "qwen2-bias",    "qwen2-tied",         "qwen2-yarn",
                                  "qwen2-window",  "qwen3-dense",        "qwen3-tied",
                                  "qwen3-yarn",    "qwen3moe",           "qwen3moe-mixed",
                                  "llama4-scout",  "llama4-maverick",    "llama4-behemoth-like",
                                  "qwen3next",     "qwen35-dense",       "qwen35-dense-vheads",
                                  "qwen35-moe"};
/// Cases that golden/gguf/README.md names as having no file.
const char* const kNoGguf[] = {"qwen2-window", "llama-sharded", "qwen3moe-mixed", "llama4-behemoth-like"};
const char* const kBackends[] = {"ref", "deferred", "cpu"};

/// Twin of a text case in GGUF form, if there is one.
fs::path gguf_twin(const std::string& name) {
  for (const char* type : {"bf16", "f16", "f32"}) {
    const fs::path path = golden("gguf/" + name + "." + type + ".gguf");
    if (fs::exists(path)) return path;
  }
  return {};
}

class TextGolden : public testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  /// `own_expect`: what a file is held against that says less than the folder; it has no hidden states.
  void check(const fs::path& model_path, const fs::path& own_expect = {}) {
    const fs::path folder = golden(std::string("text/") + std::get<0>(GetParam()));
    const GoldenFile expect(own_expect.empty() ? folder / "expect.safetensors" : own_expect);
    const Json info = parse_json(read_text_file(folder / "case.json", 1 << 20), "case.json");
    const auto bound = [&](const std::string& tensor) { return 8 * info.find("noise_floor")->find(tensor)->number(); };

    Runtime runtime(2);
    const auto model = load_model(model_path, runtime, std::get<1>(GetParam()), {.mtp = true});
    Engine engine(model->decoder);
    const auto prompts = read_prompts(folder / "ids.json");
    const bool has_mtp = expect.has("mtp_logits");
    EXPECT_EQ(model->decoder->has_mtp(), has_mtp);
    const Scores scores = score_all(engine, prompts, true, has_mtp);
    if (has_mtp) {
      EXPECT_TRUE(all_close(scores.mtp_logits, expect.f32("mtp_logits"), bound("mtp_logits")));
    }
    const size_t layers = model->decoder->spec().layers.size();
    ASSERT_EQ(scores.hidden.size(), layers + 2);
    for (size_t i = 0; i <= layers && own_expect.empty(); ++i) {
      const std::string name = "hidden." + std::to_string(i);
      EXPECT_TRUE(all_close(scores.hidden[i], expect.f32(name), bound(name))) << name;
    }
    if (own_expect.empty()) {
      EXPECT_TRUE(all_close(scores.hidden.back(), expect.f32("hidden.norm"), bound("hidden.norm")));
    }
    EXPECT_TRUE(all_close(scores.logits, expect.f32("logits"), bound("logits")));

    const auto ids = expect.i64("greedy_ids");
    const size_t compared = expect_greedy(engine, prompts, ids, expect.f32("greedy_margin"), bound("logits"));
    EXPECT_GT(compared, ids.size() / 2);
  }
};

TEST_P(TextGolden, HuggingFaceFolder) { check(golden(std::string("text/") + std::get<0>(GetParam()))); }

TEST_P(TextGolden, Gguf) {
  const fs::path twin = gguf_twin(std::get<0>(GetParam()));
  const std::string name = std::get<0>(GetParam());
  if (twin.empty()) {
    ASSERT_TRUE(std::find(std::begin(kNoGguf), std::end(kNoGguf), name) != std::end(kNoGguf));
    return;
  }
  // What a GGUF file cannot say of Llama 4 has its own expectation.
  const fs::path own_expect = golden("gguf/" + name + ".expect.safetensors");
  check(twin, fs::exists(own_expect) ? own_expect : fs::path());
}

INSTANTIATE_TEST_SUITE_P(Cases, TextGolden,
                         testing::Combine(testing::ValuesIn(kTextCases), testing::ValuesIn(kBackends)),
                         [](const auto& tested) {
                           std::string name = std::string(std::get<0>(tested.param)) + "_" + std::get<1>(tested.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// Every GGUF file of golden/gguf_quant/FOLDER that is there: the repository's, and the IQ types from the assets.
void check_quantised(const std::string& folder, const std::string& backend) {
  const fs::path all = assets("golden/gguf_quant/" + folder);
  const fs::path base = all.empty() ? golden("gguf_quant/" + folder) : all;
  const auto prompts = read_prompts(base / "ids.json");
  const Json info = parse_json(read_text_file(base / "ids.json", 1 << 20), "ids.json");
  std::vector<fs::path> files;
  for (const auto& item : fs::directory_iterator(base)) {
    if (item.path().extension() == ".gguf") files.push_back(item.path());
  }
  EXPECT_GE(files.size(), folder == "llama" ? 3u : 17u);
  std::sort(files.begin(), files.end());
  // `ref` has one loop for all types, over what dequantize() gives, and tensor/ tests that of every type.
  const size_t step = kSanitized && backend == "ref" ? 4 : 1;
  for (size_t i = 0; i < files.size(); i += step) {
    SCOPED_TRACE(files[i].filename().string());
    const GoldenFile expect(base / (files[i].stem().string() + ".expect.safetensors"));
    Runtime runtime(2);
    const auto model = load_model(files[i], runtime, backend);
    Engine engine(model->decoder);
    expect_selected_logits(engine, model->decoder->spec().vocabulary, prompts, info, expect);
  }
}

class QuantisedGolden : public testing::TestWithParam<const char*> {};
TEST_P(QuantisedGolden, Qwen3) { check_quantised("qwen3", GetParam()); }
TEST_P(QuantisedGolden, Llama) { check_quantised("llama", GetParam()); }
INSTANTIATE_TEST_SUITE_P(Backends, QuantisedGolden, testing::Values("ref", "cpu"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace duet::test
