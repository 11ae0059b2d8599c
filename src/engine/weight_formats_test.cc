// Tiny models in every quantised form of Hugging Face checkpoints (golden/weight_formats) against logits of the decoded
// weights in float64; bounds as its README derives them.
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

constexpr const char* kFormats[] = {
    "fp8_block", "ct_fp8_tensor", "ct_fp8_channel", "ct_int8",   "ct_int4", "ct_int4_asym", "ct_mxfp4",
    "ct_nvfp4",  "awq",           "gptq4",          "gptq4_act", "gptq8",   "nf4",          "nf4_double"};

class WeightFormats : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(WeightFormats, LogitsAndGreedyIds) {
  DUET_SKIP_WITHOUT_ASSETS("golden/weight_formats");
  const fs::path folder = assets("golden/weight_formats") / std::get<0>(GetParam()) / "model";
  const auto prompts = read_prompts(folder / "ids.json");
  const Json info = parse_json(read_text_file(folder / "ids.json", 1 << 20), "ids.json");
  const GoldenFile expect(folder / "expect.safetensors");
  Runtime runtime(2);
  const auto model = load_model(folder, runtime, std::get<1>(GetParam()));
  EXPECT_EQ(model->description.warnings, std::vector<std::string>{});
  Engine engine(model->decoder);
  const Scores scores = score_all(engine, prompts, false);
  const auto vocabulary = static_cast<size_t>(model->decoder->spec().vocabulary);
  std::vector<float> selected;
  for (const Json& place : info.find("logit_rows")->array()) {
    size_t row = static_cast<size_t>(place.array()[1].integer());
    for (int64_t p = 0; p < place.array()[0].integer(); ++p) row += prompts[static_cast<size_t>(p)].size();
    const auto at = scores.logits.begin() + static_cast<int64_t>(row * vocabulary);
    selected.insert(selected.end(), at, at + static_cast<int64_t>(vocabulary));
  }
  const std::vector<float> expected = expect.f32("logits");
  double largest = 0;
  for (const float v : expected) largest = std::max(largest, std::abs(static_cast<double>(v)));
  const double bound = 1.5e-4 * largest;
  EXPECT_TRUE(all_close(selected, expected, bound));
  const auto ids = expect.i32("greedy_ids");
  const auto margins = expect.f32("greedy_margin");
  const size_t steps = ids.size() / prompts.size();
  size_t compared = 0;
  for (size_t p = 0; p < prompts.size(); ++p) {
    const auto made = greedy(engine, prompts[p], static_cast<int64_t>(steps));
    ASSERT_EQ(made.size(), steps);
    const size_t decided = decided_steps(std::span(margins).subspan(p * steps, steps), 2 * bound);
    for (size_t i = 0; i < decided; ++i)
      EXPECT_EQ(to_int(made[i]), ids[p * steps + i]) << "prompt " << p << " step " << i;
    compared += decided;
  }
  EXPECT_GT(compared, ids.size() / 2);
}

INSTANTIATE_TEST_SUITE_P(Cases, WeightFormats,
                         testing::Combine(testing::ValuesIn(kFormats), testing::Values("ref", "deferred", "cpu")),
                         [](const auto& tested) {
                           return std::string(std::get<0>(tested.param)) + "_" + std::get<1>(tested.param);
                         });

}  // namespace
}  // namespace duet::test
