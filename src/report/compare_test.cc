#include "report/compare.h"

#include <cmath>
#include <set>

#include "base/utf8.h"
#include "tests/support.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

TEST(LanguageSamples, ManyLanguagesEachOnceAndValid) {
  std::set<std::string_view> codes, texts;
  for (const LanguageSample& sample : language_samples()) {
    EXPECT_TRUE(codes.insert(sample.code).second) << sample.code;
    EXPECT_TRUE(texts.insert(sample.text).second) << sample.code;
    EXPECT_TRUE(is_valid_utf8(sample.text)) << sample.code;
    EXPECT_GT(sample.text.size(), 80u) << sample.code;
  }
  EXPECT_GE(codes.size(), 40u);
}

class CompareTest : public testing::Test {
 protected:
  Session one{test::golden("text/qwen3-dense"), {.threads = 1}};
  Session two{test::golden("gguf/llama32-tied.bf16.gguf"), {.threads = 1}};
  Session* sessions[2] = {&one, &two};
  std::vector<std::string> licences = {"", "MIT"};
  std::atomic<bool> cancel = false;
  CompareOptions options;
};

TEST_F(CompareTest, FiguresComeFromTheFiles) {
  options.measure_speed = false;
  const Comparison result = compare(sessions, licences, options, cancel);
  ASSERT_EQ(result.models.size(), 2u);
  const ModelFigures& model = result.models[0];
  EXPECT_EQ(model.family, "qwen");
  EXPECT_EQ(model.architecture, "Qwen3ForCausalLM");
  EXPECT_EQ(model.licence, "");
  EXPECT_EQ(result.models[1].licence, "MIT");
  EXPECT_EQ(result.models[1].family, "llama");
  EXPECT_EQ(result.models[1].types, "bf16");
  const ModelSpec& spec = one.model().description().spec;
  int64_t state_bytes = 0;  // keys and values of a token in float32
  for (const LayerSpec& layer : spec.layers) {
    const auto& attention = std::get<AttentionMixer>(layer.mixer);
    state_bytes += 2 * attention.kv_heads * attention.head_dim * 4;
  }
  EXPECT_EQ(model.state_token_bytes, state_bytes);
  EXPECT_EQ(model.state_bytes, (spec.context_tokens + 63) / 64 * 64 * state_bytes);
  EXPECT_GT(model.parameters, 0);
  EXPECT_GE(model.file_bytes, model.parameters);  // two bytes each at least, and heads of files
  ASSERT_EQ(result.languages.size(), language_samples().size());
  const LanguageSample& english = *result.languages.front().sample;
  const auto tokens = static_cast<double>(one.model().tokenizer().encode(english.text, {}).size());
  EXPECT_DOUBLE_EQ(result.languages.front().tokens_per_character[0], tokens / static_cast<double>(english.text.size()));
  EXPECT_TRUE(result.answers.empty());
  EXPECT_TRUE(result.speeds.empty());
}

TEST_F(CompareTest, SpeedIsMeasuredInTurnsAndAnswersStandSideBySide) {
  options.prompts = {"one", std::string(1 << 16, 'x')};
  options.max_new_tokens = 3;
  options.speed = {.prompt_tokens = 20, .answer_tokens = 4};
  options.speed_repetitions = 2;
  std::vector<std::string> steps;
  const Comparison result = compare(sessions, licences, options, cancel, [&](auto what, int64_t done, int64_t total) {
    steps.push_back(fmt::format("{} {}/{}", what, done, total));
  });
  ASSERT_EQ(result.speeds.size(), 2u);
  EXPECT_EQ(result.plans, std::vector<SpeedPlan>(2, options.speed));
  for (const Speed& speed : result.speeds) {
    ASSERT_EQ(speed.samples.size(), 2u);
    EXPECT_TRUE(std::isfinite(speed.reading.median) && speed.reading.median > 0);
    EXPECT_TRUE(std::isfinite(speed.writing.median) && speed.writing.median > 0);
  }
  EXPECT_EQ(steps.front(), "measuring speed 0/6");
  EXPECT_EQ(steps.back(), "answering 4/4");
  ASSERT_EQ(result.answers.size(), 2u);
  EXPECT_EQ(result.answers[0].answers[0].finished.new_tokens, 3);
  ASSERT_TRUE(result.answers[1].answers[0].error);  // one answer's fault is that answer's alone
  EXPECT_EQ(result.answers[1].answers[0].error->code(), ErrorCode::kContextOverflow);
}

TEST_F(CompareTest, CancelEndsIt) {
  cancel = true;
  options.speed = {.prompt_tokens = 20, .answer_tokens = 4};
  options.speed_repetitions = 2;
  EXPECT_ERROR(compare(sessions, licences, options, cancel), ErrorCode::kCancelled, "interrupted");
  options.measure_speed = false;
  options.prompts = {"one"};
  EXPECT_ERROR(compare(sessions, licences, options, cancel), ErrorCode::kCancelled, "interrupted");
}

}  // namespace
}  // namespace duet
