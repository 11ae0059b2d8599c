#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "backend/backend.h"
#include "engine/sampler.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

class EngineTest : public testing::Test {
 protected:
  Runtime runtime{1};
  std::unique_ptr<TestModel> model = load_model(golden("text/qwen3-dense"), runtime, "ref");
  Engine engine{model->decoder, {.context_tokens = 40, .max_step_rows = 8}};

  static Request request(size_t length, int64_t new_tokens) {
    return {.prompt = std::vector<TokenId>(length, TokenId{5}),
            .sampling = {},
            .max_new_tokens = new_tokens,
            .stop_ids = {}};
  }
  std::vector<EngineEvent> drain() {
    std::vector<EngineEvent> all;
    while (!engine.idle()) {
      for (const EngineEvent& event : engine.step()) all.push_back(event);
    }
    return all;
  }
};

TEST_F(EngineTest, RefusesBadRequestsAndKeepsWorking) {
  EXPECT_ERROR(engine.submit(request(0, 1)), ErrorCode::kBadValue, "empty");
  EXPECT_ERROR(engine.submit(request(40, 1)), ErrorCode::kContextOverflow, "40");
  EXPECT_ERROR(engine.submit(request(3, -1)), ErrorCode::kBadValue, "max_new_tokens");
  for (const int32_t id : {-1, 512, INT32_MAX, INT32_MIN}) {
    Request bad = request(2, 1);
    bad.prompt.push_back(TokenId{id});
    EXPECT_ERROR(engine.submit(bad), ErrorCode::kBadValue, std::to_string(id));
  }
  Request bad = request(2, 1);
  bad.sampling.top_p = 0;
  EXPECT_ERROR(engine.submit(bad), ErrorCode::kBadValue, "top-p");
  EXPECT_TRUE(engine.idle());
  engine.submit(request(3, 2));
  EXPECT_TRUE(std::holds_alternative<RequestFinished>(drain().back()));
  EXPECT_ERROR(Engine(model->decoder, {.context_tokens = 1 << 20}), ErrorCode::kBadValue, "context");
}

TEST_F(EngineTest, LongPromptsReportProgressAndCancelActsAtTheNextStep) {
  const RequestId id = engine.submit(request(30, 0));
  const auto first = engine.step();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(std::get<PromptProgress>(first[0]).done_tokens, 8);
  EXPECT_EQ(std::get<PromptProgress>(first[0]).total_tokens, 30);
  engine.cancel(id);
  const auto second = engine.step();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(std::get<RequestFinished>(second[0]).reason, FinishReason::kCancelled);
  EXPECT_TRUE(engine.idle());
}

TEST_F(EngineTest, EndsAtTheContextAndAtStopIds) {
  engine.submit(request(30, 0));
  const auto all = drain();
  const auto& finished = std::get<RequestFinished>(all.back());
  EXPECT_EQ(finished.reason, FinishReason::kContext);
  EXPECT_EQ(finished.new_tokens, 10);
  std::vector<TokenId> chosen;
  for (const auto& event : all) {
    if (const auto* c = std::get_if<TokenChosen>(&event)) chosen.push_back(c->id);
  }
  ASSERT_EQ(chosen.size(), 10u);
  Request stopping = request(30, 0);
  stopping.stop_ids = {chosen[0]};
  engine.submit(stopping);
  const auto stopped = std::get<RequestFinished>(drain().back());
  EXPECT_EQ(stopped.reason, FinishReason::kStop);
  EXPECT_EQ(stopped.stop_id, chosen[0]);
  EXPECT_EQ(stopped.new_tokens, 0);
  EXPECT_EQ(stopped.reused_tokens, 29) << "the last prompt token is always computed";
}

/// What an engine with several requests gave each of them.
struct Outcome {
  std::vector<TokenId> ids;
  std::vector<TokenChosen> tokens;
  std::optional<RequestFinished> finished;
  std::optional<Error> error;
  int64_t prompt_rows = 0;
};
std::map<RequestId, Outcome> run_all(Engine& engine) {
  std::map<RequestId, Outcome> outcomes;
  while (!engine.idle()) {
    for (const EngineEvent& event : engine.step()) {
      Outcome& outcome = outcomes[std::visit([](const auto& e) { return e.request; }, event)];
      if (const auto* chosen = std::get_if<TokenChosen>(&event)) {
        outcome.ids.push_back(chosen->id);
        outcome.tokens.push_back(*chosen);
      }
      if (const auto* end = std::get_if<RequestFinished>(&event)) outcome.finished = *end;
      if (const auto* failed = std::get_if<RequestFailed>(&event)) outcome.error = failed->error;
      if (const auto* progress = std::get_if<PromptProgress>(&event)) outcome.prompt_rows = progress->done_tokens;
    }
  }
  return outcomes;
}

TEST_F(EngineTest, JudgesIdsAndCountsOfSamplingAtSubmit) {
  Request bad = request(3, 1);
  bad.sampling.logit_bias = {{TokenId{512}, 1.0f}};
  EXPECT_ERROR(engine.submit(bad), ErrorCode::kBadValue, "512, legal: 0 to 511");
  bad = request(3, 1);
  bad.sampling.dry_breakers = {{TokenId{-1}}};
  EXPECT_ERROR(engine.submit(bad), ErrorCode::kBadValue, "dry-breaker");
  bad = request(3, 1);
  bad.logprobs = 513;
  EXPECT_ERROR(engine.submit(bad), ErrorCode::kBadValue, "logprobs is 513, legal: -1 (none) to 512");
  bad = request(3, 1);
  bad.choice = -1;
  EXPECT_ERROR(engine.submit(bad), ErrorCode::kBadValue, "choice");
  EXPECT_TRUE(engine.idle());
}

TEST_F(EngineTest, EachChoiceIsTheAnswerThatItGetsAloneAndThePromptIsReadOnce) {
  for (const size_t length : {1u, 5u, 30u}) {  // one row, one step, many steps
    Request asked = request(length, 8);
    asked.sampling = {.temperature = 1.5f, .seed = 7};
    std::vector<std::vector<TokenId>> alone;
    for (int32_t choice = 0; choice < 5; ++choice) {
      Engine fresh(model->decoder, {.context_tokens = 40, .max_step_rows = 8});
      asked.choice = choice;
      const RequestId id = fresh.submit(asked);
      alone.push_back(run_all(fresh)[id].ids);
    }
    EXPECT_NE(alone[0], alone[1]);
    Engine fresh(model->decoder, {.context_tokens = 40, .max_step_rows = 8});
    std::vector<RequestId> ids;
    for (int32_t choice = 0; choice < 5; ++choice) {
      asked.choice = choice;
      ids.push_back(fresh.submit(asked));
    }
    auto together = run_all(fresh);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(together[ids[i]].ids, alone[i]) << "choice " << i << ", prompt of " << length;
      EXPECT_EQ(together[ids[i]].prompt_rows, i == 0 ? static_cast<int64_t>(length) : 0) << "choice " << i;
      EXPECT_EQ(together[ids[i]].finished->reused_tokens, i == 0 ? 0 : static_cast<int64_t>(length));
    }
  }
}

TEST_F(EngineTest, AChoiceWhoseLeaderIsCancelledGoesOn) {
  Request asked = request(30, 5);
  asked.sampling = {.temperature = 1.5f, .seed = 7};
  std::vector<RequestId> ids;
  for (int32_t choice = 0; choice < 4; ++choice) {
    asked.choice = choice;
    ids.push_back(engine.submit(asked));
  }
  engine.step();
  engine.cancel(ids[0]);
  engine.cancel(ids[2]);
  auto outcomes = run_all(engine);
  EXPECT_EQ(outcomes[ids[0]].finished->reason, FinishReason::kCancelled);
  EXPECT_EQ(outcomes[ids[2]].finished->reason, FinishReason::kCancelled);
  EXPECT_EQ(outcomes[ids[1]].finished->reused_tokens, 8) << "goes on where the first one was";
  for (const size_t i : {1u, 3u}) {
    Engine fresh(model->decoder, {.context_tokens = 40, .max_step_rows = 8});
    asked.choice = static_cast<int32_t>(i);
    const RequestId id = fresh.submit(asked);
    EXPECT_EQ(outcomes[ids[i]].ids, run_all(fresh)[id].ids) << "choice " << i;
  }
}

TEST_F(EngineTest, LogprobsAreOfTheRawLogitsAndChangeNoToken) {
  Request asked = request(6, 6);
  asked.sampling = {.temperature = 1.0f, .repetition_penalty = 1.5f, .seed = 4};
  const RequestId plain = engine.submit(asked);
  const auto without = run_all(engine)[plain];
  asked.logprobs = 3;
  const RequestId with = engine.submit(asked);
  const auto outcome = run_all(engine)[with];
  EXPECT_EQ(outcome.ids, without.ids);
  EXPECT_TRUE(without.tokens[0].alternatives.empty());
  std::vector<TokenId> all = asked.prompt;
  all.insert(all.end(), outcome.ids.begin(), outcome.ids.end());
  engine.score(all, [&](int64_t first, int64_t, std::span<const float> logits) {
    if (first < 5 || first >= 11) return;
    const TokenChosen& token = outcome.tokens[static_cast<size_t>(first - 5)];
    double total = 0;
    for (const float v : logits) total += std::exp(static_cast<double>(v));
    EXPECT_NEAR(token.logprob, static_cast<double>(logits[static_cast<size_t>(to_int(token.id))]) - std::log(total),
                1e-5);
    ASSERT_EQ(token.alternatives.size(), 3u);
    EXPECT_EQ(token.alternatives[0].id, argmax(logits));
    EXPECT_GE(token.alternatives[0].logprob, token.alternatives[1].logprob);
  });
}

/// Forces some tokens and remembers all.
struct ScriptedGuide final : TokenGuide {
  std::map<size_t, TokenId> script;  // by how many tokens came before
  std::vector<TokenId> accepted;
  std::optional<TokenId> forced() override {
    const auto it = script.find(accepted.size());
    return it == script.end() ? std::nullopt : std::optional(it->second);
  }
  void accept(TokenId id) override {
    if (id == TokenId{77}) fail(ErrorCode::kBadValue, "the guide does not like 77");
    accepted.push_back(id);
  }
};

TEST_F(EngineTest, AGuideForcesTokensAndHearsOfAll) {
  const auto guide = std::make_shared<ScriptedGuide>();
  guide->script = {{1, TokenId{9}}, {2, TokenId{11}}};
  Request asked = request(4, 5);
  asked.guide = guide;
  asked.stop_ids = {TokenId{9}};
  asked.logprobs = 0;
  const RequestId id = engine.submit(asked);
  const auto outcome = run_all(engine)[id];
  ASSERT_EQ(outcome.ids.size(), 5u) << "a forced token does not end the answer";
  EXPECT_EQ(outcome.ids[1], TokenId{9});
  EXPECT_EQ(outcome.ids[2], TokenId{11});
  EXPECT_EQ(guide->accepted, outcome.ids);
  EXPECT_LT(outcome.tokens[1].logprob, 0);
  // What follows is what a prompt that holds the forced tokens gives.
  Request longer = request(4, 2);
  longer.prompt.insert(longer.prompt.end(), outcome.ids.begin(), outcome.ids.begin() + 3);
  const RequestId second = engine.submit(longer);
  EXPECT_EQ(run_all(engine)[second].ids, std::vector<TokenId>(outcome.ids.begin() + 3, outcome.ids.end()));
  // The end token is heard of too.
  const auto listening = std::make_shared<ScriptedGuide>();
  asked = request(4, 5);
  asked.guide = listening;
  asked.stop_ids = {outcome.ids[0]};
  engine.submit(asked);
  run_all(engine);
  EXPECT_EQ(listening->accepted, std::vector<TokenId>{outcome.ids[0]});
}

TEST_F(EngineTest, AGuideThatFailsEndsItsRequestAlone) {
  Request good = request(4, 5);
  const RequestId neighbour = engine.submit(good);
  Request asked = request(5, 5);
  const auto guide = std::make_shared<ScriptedGuide>();
  guide->script = {{2, TokenId{77}}};
  asked.guide = guide;
  const RequestId thrower = engine.submit(asked);
  const auto wild = std::make_shared<ScriptedGuide>();
  wild->script = {{1, TokenId{512}}};
  asked.guide = wild;
  const RequestId out_of_range = engine.submit(asked);
  auto outcomes = run_all(engine);
  EXPECT_EQ(outcomes[neighbour].ids.size(), 5u);
  EXPECT_EQ(outcomes[thrower].error->code(), ErrorCode::kBadValue);
  EXPECT_NE(outcomes[out_of_range].error->message().find("512"), std::string::npos);
}

}  // namespace
}  // namespace duet::test
