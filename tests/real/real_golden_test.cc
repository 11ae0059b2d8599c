// Real models against float32 logits of the reference (golden/real/README.md): the 64 best logits of every position
// within 1.5e-3, greedy ids up to the first step whose margin does not decide. SmolLM2 runs wherever the store has it;
// the larger models with DUET_TEST_FULL=1.
#include <gtest/gtest.h>

#include <cstdlib>

#include "backend/backend.h"
#include "hub/resolve.h"
#include "tests/compare.h"
#include "tests/golden_file.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

constexpr double kBound = 1.5e-3;

/// The model's file, if the store has it; `full` ones only where the whole suite was asked for.
std::filesystem::path model_file(const std::string& name, bool full) {
  const char* asked = std::getenv("DUET_TEST_FULL");
  if (full && (asked == nullptr || std::string(asked) != "1")) return {};
  try {
    return resolve_model(name);
  } catch (const Error&) {
    return {};
  }
}

void check_real(const std::filesystem::path& file, const std::filesystem::path& folder, const std::string& backend,
                int64_t most_prompt_tokens, int64_t most_greedy) {
  const GoldenFile expect(folder / "expect.safetensors");
  Runtime runtime;
  const auto model = load_model(file, runtime, backend);
  Engine engine(model->decoder);
  const auto vocabulary = static_cast<size_t>(model->decoder->spec().vocabulary);
  size_t prompts = 0, steps = 0;
  for (int index = 0; expect.has("p" + std::to_string(index) + ".ids"); ++index) {
    const std::string p = "p" + std::to_string(index) + ".";
    SCOPED_TRACE(p);
    std::vector<TokenId> prompt;
    for (const int32_t id : expect.i32(p + "ids")) prompt.push_back(TokenId{id});
    if (static_cast<int64_t>(prompt.size()) > most_prompt_tokens) continue;
    ++prompts;
    const auto logits = score_all(engine, {prompt}, false).logits;
    const auto top_ids = expect.i32(p + "topk_ids");
    const auto top_logits = expect.f32(p + "topk_logits");
    const size_t top = top_ids.size() / prompt.size();
    std::vector<float> selected;
    for (size_t i = 0; i < top_ids.size(); ++i)
      selected.push_back(logits[i / top * vocabulary + static_cast<size_t>(top_ids[i])]);
    EXPECT_TRUE(all_close(selected, top_logits, kBound));
    if (expect.has(p + "last_logits")) {
      EXPECT_TRUE(all_close(std::span(logits).last(vocabulary), expect.f32(p + "last_logits"), kBound));
    }
    const auto ids = expect.i32(p + "greedy_ids");
    const size_t decided =
        std::min(decided_steps(expect.f32(p + "greedy_margin"), 2 * kBound), static_cast<size_t>(most_greedy));
    const auto made = greedy(engine, prompt, static_cast<int64_t>(decided));
    for (size_t i = 0; i < decided; ++i) EXPECT_EQ(to_int(made[i]), ids[i]) << "step " << i;
    steps += decided;
  }
  EXPECT_GT(prompts, 0u);
  EXPECT_GT(steps, 0u);
}

TEST(RealGolden, SmolLM2) {
  const auto file = model_file("smollm2-135m", false);
  if (file.empty()) GTEST_SKIP() << "smollm2-135m is not in the store: ./test fetches it";
  check_real(file, golden("real/smollm2-135m-instruct-q4_1"), "cpu", 4096, 48);
}

TEST(RealGolden, SmolLM2OnTheReferenceBackend) {
  const auto file = model_file("smollm2-135m", false);
  if (file.empty()) GTEST_SKIP() << "smollm2-135m is not in the store: ./test fetches it";
  check_real(file, golden("real/smollm2-135m-instruct-q4_1"), "ref", 32, 2);
}

class RealGoldenFull : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(RealGoldenFull, MatchesTheReference) {
  const auto file = model_file(GetParam().first, true);
  if (file.empty()) GTEST_SKIP() << GetParam().first << " is tested by ./test --full";
  const std::string set = std::string("golden/real/") + GetParam().second;
  DUET_SKIP_WITHOUT_ASSETS(set);
  check_real(file, assets(set), "cpu", 4096, 48);
}

INSTANTIATE_TEST_SUITE_P(Coders, RealGoldenFull,
                         testing::Values(std::pair("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct-q4"),
                                         std::pair("qwen2.5-coder-1.5b", "qwen2.5-coder-1.5b-instruct-q4_k_m")));

}  // namespace
}  // namespace duet::test
