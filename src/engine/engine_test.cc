#include "engine/engine.h"

#include <gtest/gtest.h>

#include "backend/backend.h"
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

}  // namespace
}  // namespace duet::test
