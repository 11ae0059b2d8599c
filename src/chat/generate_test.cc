#include "chat/generate.h"

#include <map>

#include "backend/backend.h"
#include "engine/engine.h"
#include "tests/fake_tokenizer.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet {
namespace {

/// Everything that a request gave, in order.
struct Record {
  std::string text;
  std::vector<PromptProgress> progress;
  std::optional<Finished> finished;
  std::optional<Error> error;
  int last_events = 0;

  void operator()(const TurnsDropped&) {}
  void operator()(const Logprobs&) {}
  void operator()(const PromptProgress& event) { progress.push_back(event); }
  void operator()(const TextDelta& delta) {
    EXPECT_FALSE(delta.text.empty());
    EXPECT_EQ(last_events, 0);
    text += delta.text;
  }
  void operator()(const ReasoningDelta&) { ADD_FAILURE() << "nothing tells thinking apart yet"; }
  void operator()(const Finished& event) { finished = event, ++last_events; }
  void operator()(const Failed& event) { error = event.error, ++last_events; }
};

class GenerateTest : public testing::Test {
 protected:
  Runtime runtime{1};
  std::unique_ptr<test::TestModel> model = test::load_model(test::golden("text/qwen3-dense"), runtime, "ref");
  Engine engine{model->decoder, {.context_tokens = 60, .max_step_rows = 8}};
  test::FakeTokenizer tokenizer{{}, model->decoder->spec().vocabulary, /*letters=*/true};
  std::atomic<bool> cancel = false;

  static GenerateRequest request(size_t prompt_tokens, int64_t new_tokens) {
    return {.prompt = std::vector<TokenId>(prompt_tokens, TokenId{5}), .max_new_tokens = new_tokens};
  }
  Record run(const GenerateRequest& request) {
    Record record;
    generate(engine, tokenizer, request, cancel, [&](const ChatEvent& event) { std::visit(record, event); });
    EXPECT_EQ(record.last_events, 1);
    EXPECT_TRUE(engine.idle());
    return record;
  }
};

TEST_F(GenerateTest, CountsAndTextAgree) {
  const Record record = run(request(20, 12));
  ASSERT_TRUE(record.finished);
  EXPECT_EQ(record.finished->reason, FinishReason::kLength);
  EXPECT_EQ(record.finished->prompt_tokens, 20);
  EXPECT_EQ(record.finished->new_tokens, 12);
  EXPECT_EQ(record.finished->answer_steps, 11);
  EXPECT_GT(record.finished->prompt_seconds, 0);
  ASSERT_EQ(record.finished->ids.size(), 12u);
  EXPECT_EQ(record.text, tokenizer.decode(record.finished->ids, true));
  EXPECT_EQ(record.progress.size(), 3u);  // 20 rows, 8 a step
  EXPECT_EQ(record.progress.back().done_tokens, 20);
}

TEST_F(GenerateTest, AStopIdEndsTheAnswerAndIsNoText) {
  const Record whole = run(request(4, 10));
  GenerateRequest stopped = request(4, 10);
  stopped.stop_ids = {whole.finished->ids[6]};
  const Record record = run(stopped);
  EXPECT_EQ(record.finished->reason, FinishReason::kStop);
  EXPECT_EQ(record.finished->stop_string, "");
  EXPECT_LE(record.finished->new_tokens, 6);
  EXPECT_TRUE(std::equal(record.finished->ids.begin(), record.finished->ids.end(), whole.finished->ids.begin()));
  EXPECT_EQ(record.finished->answer_steps, record.finished->new_tokens);  // the end token costs a step as well
}

TEST_F(GenerateTest, AStopStringEndsTheAnswerAcrossTokens) {
  const Record whole = run(request(6, 20));
  for (size_t begin = 0; begin + 3 <= whole.text.size(); ++begin) {
    GenerateRequest stopped = request(6, 20);
    stopped.stop_strings = {whole.text.substr(begin, 3)};
    const Record record = run(stopped);
    ASSERT_TRUE(record.finished);
    EXPECT_EQ(record.finished->reason, FinishReason::kStop);
    EXPECT_EQ(record.finished->stop_string, stopped.stop_strings[0]);
    EXPECT_EQ(record.text, whole.text.substr(0, whole.text.find(stopped.stop_strings[0])));
    EXPECT_LT(record.finished->new_tokens, 21);
  }
}

TEST_F(GenerateTest, CancelActsWithinOneStep) {
  cancel = true;
  const Record at_once = run(request(30, 20));
  EXPECT_EQ(at_once.finished->reason, FinishReason::kCancelled);
  EXPECT_EQ(at_once.finished->new_tokens, 0);
  EXPECT_TRUE(at_once.progress.empty());
  cancel = false;
  Record record;
  generate(engine, tokenizer, request(5, 20), cancel, [&](const ChatEvent& event) {
    std::visit(record, event);
    if (record.text.size() >= 4) cancel = true;
  });
  EXPECT_EQ(record.finished->reason, FinishReason::kCancelled);
  EXPECT_EQ(record.finished->new_tokens, 4);
  EXPECT_EQ(record.text.size(), 4u);
}

TEST_F(GenerateTest, TheContextEndsAnAnswer) {
  const Record record = run(request(50, 0));
  EXPECT_EQ(record.finished->reason, FinishReason::kContext);
  EXPECT_EQ(record.finished->new_tokens, 10);
}

TEST_F(GenerateTest, WhatARequestDoesWrongIsAnEvent) {
  EXPECT_EQ(run(request(0, 1)).error->code(), ErrorCode::kBadValue);
  EXPECT_EQ(run(request(60, 1)).error->code(), ErrorCode::kContextOverflow);
  GenerateRequest bad_stop = request(3, 1);
  bad_stop.stop_strings = {""};
  EXPECT_EQ(run(bad_stop).error->code(), ErrorCode::kBadValue);
  GenerateRequest bad_sampling = request(3, 1);
  bad_sampling.sampling.top_p = 2;
  EXPECT_EQ(run(bad_sampling).error->code(), ErrorCode::kBadValue);
  EXPECT_EQ(run(request(3, 2)).finished->new_tokens, 2);
}

TEST_F(GenerateTest, AReaderThatThrowsLeavesTheEngineClean) {
  const auto broken = [](const ChatEvent& event) {
    if (std::holds_alternative<TextDelta>(event)) throw Error(ErrorCode::kIoError, "the disk is full");
  };
  EXPECT_ERROR(generate(engine, tokenizer, request(5, 9), cancel, broken), ErrorCode::kIoError, "disk");
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(run(request(5, 2)).finished->new_tokens, 2);
}

TEST_F(GenerateTest, AKnownPrefixIsNotComputedAgain) {
  const Record first = run(request(20, 4));
  GenerateRequest longer = request(20, 4);
  longer.prompt.insert(longer.prompt.end(), first.finished->ids.begin(), first.finished->ids.end());
  longer.prompt.push_back(TokenId{9});
  const Record second = run(longer);
  EXPECT_GE(second.finished->reused_tokens, 20);
  EXPECT_EQ(second.finished->prompt_tokens, 25);
}

/// The events of several answers, by choice.
struct Choices {
  std::map<int32_t, std::string> texts;
  std::map<int32_t, Finished> finished;
  std::vector<Logprobs> logprobs;
  std::optional<Error> error;
  void operator()(const TurnsDropped&) {}
  void operator()(const PromptProgress&) { ++progress; }
  void operator()(const ReasoningDelta&) {}
  void operator()(const Logprobs& event) { logprobs.push_back(event); }
  void operator()(const TextDelta& delta) {
    EXPECT_FALSE(finished.contains(delta.choice));
    texts[delta.choice] += delta.text;
  }
  void operator()(const Finished& event) { EXPECT_TRUE(finished.emplace(event.choice, event).second); }
  void operator()(const Failed& event) { error = event.error; }
  int progress = 0;
};

TEST_F(GenerateTest, EachOfSeveralAnswersIsTheOneThatItsChoiceGetsAlone) {
  const auto ask = [&](Engine& on, int32_t choices, std::vector<std::string> stops) {
    GenerateRequest asked = request(20, 12);
    asked.sampling = {.temperature = 1.5f, .seed = 3};
    asked.choices = choices;
    asked.stop_strings = std::move(stops);
    Choices got;
    generate(on, tokenizer, asked, cancel, [&](const ChatEvent& event) { std::visit(got, event); });
    EXPECT_TRUE(on.idle());
    return got;
  };
  const auto fresh = [&] { return Engine(model->decoder, {.context_tokens = 60, .max_step_rows = 8}); };
  Engine first = fresh(), second = fresh(), third = fresh();
  const Choices six = ask(first, 6, {});
  ASSERT_EQ(six.finished.size(), 6u);
  EXPECT_EQ(six.progress, 3) << "20 rows, 8 a step, once";
  const Choices one = ask(second, 1, {});
  EXPECT_EQ(one.finished.at(0).ids, six.finished.at(0).ids);
  EXPECT_NE(six.texts.at(0), six.texts.at(1));
  for (const auto& [choice, end] : six.finished) {
    EXPECT_EQ(end.reason, FinishReason::kLength);
    EXPECT_EQ(six.texts.at(choice), tokenizer.decode(end.ids, true));
    EXPECT_EQ(end.prompt_tokens, 20);
  }
  // A stop string ends its own answer and changes no other.
  const std::string stop = six.texts.at(2).substr(3, 4);
  const Choices stopped = ask(third, 6, {stop});
  for (const auto& [choice, text] : six.texts) {
    EXPECT_EQ(stopped.texts.contains(choice) ? stopped.texts.at(choice) : "", text.substr(0, text.find(stop)));
  }
  EXPECT_EQ(stopped.finished.at(2).stop_string, stop);
}

TEST_F(GenerateTest, CancelEndsEveryAnswer) {
  GenerateRequest asked = request(5, 30);
  asked.choices = 3;
  Choices got;
  generate(engine, tokenizer, asked, cancel, [&](const ChatEvent& event) {
    std::visit(got, event);
    if (got.texts[0].size() >= 4) cancel = true;
  });
  ASSERT_EQ(got.finished.size(), 3u);
  for (const auto& [choice, end] : got.finished) EXPECT_EQ(end.reason, FinishReason::kCancelled) << choice;
  EXPECT_TRUE(engine.idle());
}

TEST_F(GenerateTest, ChoicesAreGuidedAloneAndAFailureEndsThemAll) {
  struct Guide final : TokenGuide {
    explicit Guide(int32_t first) : next(first) {}
    std::optional<TokenId> forced() override { return TokenId{next}; }
    void accept(TokenId) override {
      if (++next == 104) fail(ErrorCode::kTemplateError, "no further");
    }
    int32_t next;
  };
  GenerateRequest asked = request(5, 3);
  asked.choices = 3;
  asked.make_guide = [](int32_t choice) { return std::make_shared<Guide>(10 * choice); };
  const auto run_choices = [&] {
    Choices got;
    generate(engine, tokenizer, asked, cancel, [&](const ChatEvent& event) { std::visit(got, event); });
    EXPECT_TRUE(engine.idle());
    return got;
  };
  const Choices guided = run_choices();
  EXPECT_EQ(guided.finished.at(2).ids, (std::vector<TokenId>{TokenId{20}, TokenId{21}, TokenId{22}}));
  asked.max_new_tokens = 20;
  asked.make_guide = [](int32_t choice) { return std::make_shared<Guide>(80 + 10 * choice); };
  const Choices failed = run_choices();
  EXPECT_EQ(failed.error->code(), ErrorCode::kTemplateError);
  EXPECT_TRUE(failed.finished.empty());
  asked.make_guide = [](int32_t) -> std::shared_ptr<TokenGuide> { return nullptr; };
  EXPECT_EQ(run_choices().finished.size(), 3u);
  for (const int32_t choices : {0, -1, 129}) {
    asked.choices = choices;
    const Choices refused = run_choices();
    ASSERT_TRUE(refused.error);
    EXPECT_NE(refused.error->message().find("legal: 1 to 128"), std::string::npos);
  }
}

TEST_F(GenerateTest, LogprobsComeBeforeTheTextOfTheirToken) {
  GenerateRequest asked = request(5, 4);
  asked.logprobs = 2;
  std::string order;
  Choices got;
  generate(engine, tokenizer, asked, cancel, [&](const ChatEvent& event) {
    std::visit(got, event);
    if (std::holds_alternative<Logprobs>(event)) order += 'l';
    if (std::holds_alternative<TextDelta>(event)) order += 't';
  });
  EXPECT_EQ(order, "ltltltlt");
  ASSERT_EQ(got.logprobs.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(got.logprobs[i].token.id, got.finished.at(0).ids[i]);
    EXPECT_EQ(got.logprobs[i].token.alternatives[0].id, got.finished.at(0).ids[i]) << "greedy takes the likeliest";
  }
}

TEST_F(GenerateTest, TextsOfTheSamplerBecomeTokens) {
  GenerateRequest asked = request(5, 6);
  asked.sampling_texts.logit_bias = {{"q", 1000.0f}};
  EXPECT_EQ(run(asked).finished->ids, std::vector<TokenId>(6, TokenId{'q'}));
  asked.sampling_texts.logit_bias = {{"", 1.0f}};
  EXPECT_EQ(run(asked).error->code(), ErrorCode::kBadValue);
}

TEST(AnswerStream, CharactersAndStopsAcrossTokens) {
  const test::FakeTokenizer tokenizer({{"<|end|>", true}});
  AnswerStream stream(tokenizer, {"é!"}, std::nullopt);
  EXPECT_EQ(stream.push(TokenId{'a'}).answer, "a");
  EXPECT_EQ(stream.push(TokenId{0xc3}).answer, "");
  EXPECT_EQ(stream.push(TokenId{0xa9}).answer, "");  // may begin the stop string
  EXPECT_EQ(stream.push(TokenId{256}).answer, "");   // special: no text
  EXPECT_EQ(stream.push(TokenId{'?'}).answer, "é?");
  EXPECT_EQ(stream.push(TokenId{0xc3}).answer, "");
  EXPECT_EQ(stream.finish().answer, "\xef\xbf\xbd");
  AnswerStream held(tokenizer, {"end"}, std::nullopt);
  EXPECT_EQ(held.push(TokenId{'e'}).answer, "");
  EXPECT_EQ(held.push(TokenId{'n'}).answer, "");
  EXPECT_EQ(held.finish().answer, "en");
}

TEST(AnswerStream, StopStringsEndTheAnswerNotTheThought) {
  const test::FakeTokenizer tokenizer({{"<think>", false}, {"</think>", false}});
  AnswerStream stream(tokenizer, {"x"}, ThoughtRules{});
  std::string reasoning, answer;
  for (const TokenId id : tokenizer.encode("<think>axb</think>\n\ncdxe", {.parse_special = true})) {
    const AnswerStream::Piece piece = stream.push(id);
    reasoning += piece.reasoning;
    answer += piece.answer;
  }
  EXPECT_EQ(reasoning, "axb");
  EXPECT_EQ(answer, "cd");
  ASSERT_NE(stream.stopped_by(), nullptr);
  EXPECT_EQ(stream.thought_tokens(), 5);  // three letters and two tags
}

TEST(Rates, NothingMeasuredIsZero) {
  EXPECT_EQ(prompt_tokens_per_second({}), 0);
  EXPECT_EQ(answer_tokens_per_second({}), 0);
  Finished finished;
  finished.prompt_tokens = 30, finished.reused_tokens = 10, finished.prompt_seconds = 2;
  finished.answer_steps = 5, finished.answer_seconds = 2.5;
  EXPECT_DOUBLE_EQ(prompt_tokens_per_second(finished), 10);
  EXPECT_DOUBLE_EQ(answer_tokens_per_second(finished), 2);
}

}  // namespace
}  // namespace duet
