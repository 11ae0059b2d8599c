// The row law, bitwise (docs/architecture.md, promise 1): the same logits whatever the threads, the split of the
// prompt, the batch, the neighbours, and whether state was reused.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "backend/backend.h"
#include "tests/compare.h"
#include "tests/golden_file.h"
#include "tests/law_models.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

class RowLaw : public testing::TestWithParam<const char*> {
 protected:
  std::vector<float> scores(int threads, int64_t step_rows, const std::vector<TokenId>& prompt,
                            const DecoderOptions& options = {}) {
    Runtime runtime(threads);
    const auto model = load_model(golden(GetParam()), runtime, "cpu", options);
    Engine engine(model->decoder, {.max_step_rows = step_rows});
    return score_all(engine, {prompt}, false).logits;
  }
  int64_t vocabulary() {
    return describe_model(Checkpoint::open(golden(GetParam()), {.config = true, .weights = true})).spec.vocabulary;
  }
};

TEST_P(RowLaw, ThreadsAndSplitsOfThePromptChangeNoBit) {
  const auto prompt = law_prompt(150, vocabulary(), 7);
  const auto whole = scores(1, 1000, prompt);
  for (const int threads : {2, 3})
    EXPECT_TRUE(same_bits(scores(threads, 1000, prompt), whole)) << threads << " threads";
  for (const int64_t step_rows : {1, 2, 3, 7, 63, 64, 65, 100}) {
    EXPECT_TRUE(same_bits(scores(2, step_rows, prompt), whole)) << "steps of " << step_rows << " rows";
  }
}

TEST_P(RowLaw, HoldsInTheNativeArithmetic) {
  const DecoderOptions native = {.activations = Activations::kNative};
  const auto prompt = law_prompt(150, vocabulary(), 7);
  const auto whole = scores(1, 1000, prompt, native);
  const bool has_blocks = std::string_view(GetParam()).starts_with("gguf_quant");
  EXPECT_EQ(static_cast<bool>(same_bits(whole, scores(1, 1000, prompt))), !has_blocks);
  EXPECT_TRUE(same_bits(scores(3, 1000, prompt, native), whole));
  for (const int64_t step_rows : {1, 2, 7, 64, 100}) {
    EXPECT_TRUE(same_bits(scores(2, step_rows, prompt, native), whole)) << "steps of " << step_rows;
  }
}

TEST_P(RowLaw, HoldsWithRoundedKeysAndValues) {
  const auto prompt = law_prompt(150, vocabulary(), 7);
  const auto exact = scores(1, 1000, prompt);
  for (const DType type : {DType::kF16, DType::kBF16, DType::kQ8_0}) {
    const DecoderOptions options = {.kv_type = type};
    std::vector<float> whole;
    try {
      whole = scores(1, 1000, prompt, options);
    } catch (const Error& error) {
      EXPECT_EQ(type, DType::kQ8_0);  // heads that are no multiple of 32
      EXPECT_EQ(error.code(), ErrorCode::kUnsupportedFeature);
      continue;
    }
    EXPECT_FALSE(same_bits(whole, exact)) << dtype_info(type).name;
    EXPECT_TRUE(same_bits(scores(3, 1000, prompt, options), whole)) << dtype_info(type).name;
    for (const int64_t step_rows : {1, 7, 64, 100}) {
      EXPECT_TRUE(same_bits(scores(2, step_rows, prompt, options), whole)) << "steps of " << step_rows << " rows";
    }
  }
}

TEST_P(RowLaw, NeighboursChangeNoToken) {
  Runtime runtime(2);
  const auto model = load_model(golden(GetParam()), runtime, "cpu");
  std::vector<std::vector<TokenId>> alone;
  const int64_t lengths[] = {1, 5, 70, 33, 128};
  const auto request = [&](size_t i) {
    Request r;
    r.prompt = law_prompt(lengths[i], model->decoder->spec().vocabulary, static_cast<uint32_t>(i));
    r.max_new_tokens = 20;
    r.sampling.temperature = i % 2 == 0 ? 0.0f : 1.0f;
    r.sampling.seed = i;
    return r;
  };
  const auto run = [&](Engine& engine, std::vector<std::vector<TokenId>>& texts, int64_t first_id) {
    while (!engine.idle()) {
      for (const EngineEvent& event : engine.step()) {
        if (const auto* chosen = std::get_if<TokenChosen>(&event)) {
          texts[static_cast<size_t>(static_cast<int64_t>(chosen->request) - first_id)].push_back(chosen->id);
        }
        ASSERT_FALSE(std::holds_alternative<RequestFailed>(event));
      }
    }
  };
  for (size_t i = 0; i < std::size(lengths); ++i) {
    Engine engine(model->decoder);
    std::vector<std::vector<TokenId>> text(1);
    run(engine, text, static_cast<int64_t>(engine.submit(request(i))));
    ASSERT_EQ(text[0].size(), 20u);
    alone.push_back(text[0]);
  }
  for (const int64_t step_rows : {4, 50, 400}) {
    Engine engine(model->decoder, {.max_step_rows = step_rows});
    std::vector<std::vector<TokenId>> together(std::size(lengths));
    const auto first = static_cast<int64_t>(engine.submit(request(0)));
    for (size_t i = 1; i < std::size(lengths); ++i) engine.submit(request(i));
    run(engine, together, first);
    EXPECT_EQ(together, alone) << "steps of " << step_rows << " rows";
  }
}

/// Every step of sampling at work, so that the text depends on all of them.
SamplingParams all_steps(uint64_t seed) {
  return {.temperature = 1.2f,
          .top_k = 200,
          .top_p = 0.98f,
          .min_p = 0.001f,
          .typical_p = 0.97f,
          .xtc_probability = 0.3f,
          .xtc_threshold = 0.01f,
          .repetition_penalty = 1.1f,
          .presence_penalty = 0.2f,
          .frequency_penalty = 0.1f,
          .dry_multiplier = 0.5f,
          .dry_base = 1.5f,
          .dry_allowed_length = 1,
          .dry_breakers = {{TokenId{3}}, {TokenId{4}, TokenId{5}}},
          .logit_bias = {{TokenId{7}, 1.0f}},
          .seed = seed};
}

TEST_P(RowLaw, TheSameSeedGivesTheSameTextWhateverThreadsSplitsAndOtherAnswers) {
  const auto prompt = law_prompt(70, vocabulary(), 11);
  constexpr int32_t kChoices = 3;
  const auto texts = [&](int threads, int64_t step_rows, std::vector<int32_t> choices, bool neighbours) {
    Runtime runtime(threads);
    const auto model = load_model(golden(GetParam()), runtime, "cpu");
    Engine engine(model->decoder, {.max_step_rows = step_rows});
    std::map<RequestId, int32_t> asked;
    for (const int32_t choice : choices) {
      if (neighbours) {
        Request other{.prompt = law_prompt(9 + choice, vocabulary(), 5), .max_new_tokens = 7};
        engine.submit(other);
      }
      Request request{.prompt = prompt, .sampling = all_steps(21), .choice = choice, .max_new_tokens = 16};
      asked.emplace(engine.submit(request), choice);
    }
    std::vector<std::vector<TokenId>> result(kChoices);
    while (!engine.idle()) {
      for (const EngineEvent& event : engine.step()) {
        const auto* chosen = std::get_if<TokenChosen>(&event);
        if (chosen != nullptr && asked.contains(chosen->request))
          result[static_cast<size_t>(asked.at(chosen->request))].push_back(chosen->id);
      }
    }
    return result;
  };
  std::vector<std::vector<TokenId>> alone;
  for (int32_t choice = 0; choice < kChoices; ++choice) {
    alone.push_back(texts(1, 400, {choice}, false)[static_cast<size_t>(choice)]);
    ASSERT_EQ(alone.back().size(), 16u);
  }
  EXPECT_NE(alone[0], alone[1]);
  EXPECT_EQ(texts(1, 400, {0, 1, 2}, false), alone);
  EXPECT_EQ(texts(2, 7, {2, 0, 1}, false), alone) << "steps of 7 rows, two threads, another order";
  EXPECT_EQ(texts(3, 64, {1, 2, 0}, true), alone) << "with neighbours";
  EXPECT_EQ(texts(2, 1, {0, 1, 2}, true), alone) << "one row a step";
}

TEST_P(RowLaw, ReusedStateGivesTheSameText) {
  Runtime runtime(2);
  const auto model = load_model(golden(GetParam()), runtime, "cpu");
  auto prompt = law_prompt(90, model->decoder->spec().vocabulary, 3);
  Engine warm(model->decoder);
  const auto first = greedy(warm, prompt, 10);
  prompt.insert(prompt.end(), first.begin(), first.begin() + 6);
  prompt.push_back(TokenId{1});
  Request request{.prompt = prompt, .sampling = {}, .max_new_tokens = 12, .stop_ids = {}};
  warm.submit(request);
  std::vector<TokenId> reused;
  int64_t reused_tokens = 0;
  while (!warm.idle()) {
    for (const EngineEvent& event : warm.step()) {
      if (const auto* chosen = std::get_if<TokenChosen>(&event)) reused.push_back(chosen->id);
      if (const auto* finished = std::get_if<RequestFinished>(&event)) reused_tokens = finished->reused_tokens;
    }
  }
  EXPECT_GE(reused_tokens, 96);
  Engine fresh(model->decoder);
  EXPECT_EQ(reused, greedy(fresh, prompt, 12));
}

/// Whatever is kept of an earlier text, and wherever the new one leaves it: in a window, a chunk, a page, between the
/// anchors of a recurrent layer.
TEST_P(RowLaw, ATextThatLeavesAnEarlierOneAnywhereIsTheSame) {
  Runtime runtime(2);
  const auto model = load_model(golden(GetParam()), runtime, "cpu");
  Engine warm(model->decoder, {.max_step_rows = 40});
  const auto earlier = law_prompt(150, model->decoder->spec().vocabulary, 3);
  greedy(warm, earlier, 5);
  for (const size_t cut : {149u, 1u, 16u, 24u, 33u, 63u, 64u, 65u, 100u, 128u, 140u}) {
    std::vector<TokenId> prompt(earlier.begin(), earlier.begin() + static_cast<int64_t>(cut));
    const auto other = law_prompt(9, model->decoder->spec().vocabulary, static_cast<uint32_t>(cut));
    prompt.insert(prompt.end(), other.begin(), other.end());
    Engine fresh(model->decoder);
    EXPECT_EQ(greedy(warm, prompt, 8), greedy(fresh, prompt, 8)) << "left at " << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RowLaw, testing::ValuesIn(kLawModels), law_model_name);

}  // namespace
}  // namespace duet::test
