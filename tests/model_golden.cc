#include "tests/model_golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/compare.h"

namespace duet::test {

std::unique_ptr<TestModel> load_model(const std::filesystem::path& path, Runtime& runtime, std::string_view backend,
                                      const DecoderOptions& options) {
  auto model = std::make_unique<TestModel>();
  model->checkpoint = Checkpoint::open(path, {.config = true, .weights = true});
  model->description = describe_model(model->checkpoint);
  model->decoder = Decoder::load(runtime.backend(backend), model->checkpoint, model->description, {}, options);
  return model;
}

std::vector<std::vector<TokenId>> read_prompts(const std::filesystem::path& ids_file) {
  const Json json = parse_json(read_text_file(ids_file, 1 << 20), ids_file.filename().string());
  const Json& list = json.is_object() ? *json.find("prompts") : json;
  std::vector<std::vector<TokenId>> prompts;
  for (const Json& prompt : list.array()) {
    prompts.emplace_back();
    for (const Json& id : prompt.array()) prompts.back().push_back(TokenId{static_cast<int32_t>(id.integer())});
  }
  return prompts;
}

Scores score_all(Engine& engine, const std::vector<std::vector<TokenId>>& prompts, bool with_hidden, bool with_mtp) {
  Scores scores;
  const auto hidden = [&](int64_t index, int64_t, int64_t, std::span<const float> values) {
    if (static_cast<int64_t>(scores.hidden.size()) <= index) scores.hidden.resize(static_cast<size_t>(index) + 1);
    auto& all = scores.hidden[static_cast<size_t>(index)];
    all.insert(all.end(), values.begin(), values.end());
  };
  const auto mtp = [&](int64_t, int64_t, std::span<const float> logits) {
    scores.mtp_logits.insert(scores.mtp_logits.end(), logits.begin(), logits.end());
  };
  for (const auto& prompt : prompts) {
    engine.score(
        prompt,
        [&](int64_t, int64_t, std::span<const float> logits) {
          scores.logits.insert(scores.logits.end(), logits.begin(), logits.end());
        },
        with_hidden ? HiddenRowSink(hidden) : HiddenRowSink(), {}, with_mtp ? RowSink(mtp) : RowSink());
  }
  return scores;
}

std::vector<TokenId> greedy(Engine& engine, const std::vector<TokenId>& prompt, int64_t count) {
  Request request;
  request.prompt = prompt;
  request.max_new_tokens = count;
  engine.submit(request);
  std::vector<TokenId> ids;
  while (!engine.idle()) {
    for (const EngineEvent& event : engine.step()) {
      if (const auto* chosen = std::get_if<TokenChosen>(&event)) ids.push_back(chosen->id);
      if (const auto* failed = std::get_if<RequestFailed>(&event)) throw failed->error;
    }
  }
  return ids;
}

size_t expect_greedy(Engine& engine, const std::vector<std::vector<TokenId>>& prompts, std::span<const int64_t> ids,
                     std::span<const float> margins, double bound) {
  const size_t steps = ids.size() / prompts.size();
  size_t compared = 0;
  for (size_t p = 0; p < prompts.size(); ++p) {
    const auto made = greedy(engine, prompts[p], static_cast<int64_t>(steps));
    EXPECT_EQ(made.size(), steps) << "prompt " << p;
    const size_t decided = std::min(decided_steps(margins.subspan(p * steps, steps), 2 * bound), made.size());
    for (size_t i = 0; i < decided; ++i)
      EXPECT_EQ(to_int(made[i]), ids[p * steps + i]) << "prompt " << p << " step " << i;
    compared += decided;
  }
  return compared;
}

size_t expect_selected_logits(Engine& engine, int64_t vocabulary, const std::vector<std::vector<TokenId>>& prompts,
                              const Json& info, const GoldenFile& expect) {
  const Scores scores = score_all(engine, prompts, false);
  std::vector<float> selected;
  for (const Json& place : info.find("logit_rows")->array()) {
    int64_t row = place.array()[1].integer();
    for (int64_t p = 0; p < place.array()[0].integer(); ++p) {
      row += static_cast<int64_t>(prompts[static_cast<size_t>(p)].size());
    }
    const auto at = scores.logits.begin() + row * vocabulary;
    selected.insert(selected.end(), at, at + vocabulary);
  }
  const std::vector<float> expected = expect.f32("logits");
  double largest = 0;
  for (const float v : expected) largest = std::max(largest, std::abs(static_cast<double>(v)));
  const double bound = 1.5e-4 * largest;
  EXPECT_TRUE(all_close(selected, expected, bound));
  const std::vector<int32_t> ids = expect.i32("greedy_ids");
  return expect_greedy(engine, prompts, std::vector<int64_t>(ids.begin(), ids.end()), expect.f32("greedy_margin"),
                       bound);
}

size_t decided_steps(std::span<const float> margins, double least_margin) {
  return static_cast<size_t>(
      std::find_if(margins.begin(), margins.end(), [&](float m) { return !(static_cast<double>(m) > least_margin); }) -
      margins.begin());
}

}  // namespace duet::test
