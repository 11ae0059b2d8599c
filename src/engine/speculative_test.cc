// Speculation changes how fast a text comes, never the text.
#include "engine/speculative.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/engine.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

std::vector<TokenId> prompt_of(int64_t length, uint32_t seed) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < length; ++i) {
    seed = seed * 1664525u + 1013904223u;
    ids.push_back(TokenId{static_cast<int32_t>((seed >> 8) % 500)});
  }
  return ids;
}

struct Answer {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;
  FinishReason reason = FinishReason::kCancelled;
  int64_t drafted = 0, accepted = 0;
  bool operator==(const Answer& other) const {
    return ids == other.ids && logprobs == other.logprobs && reason == other.reason;
  }
};

std::vector<Answer> answers(Engine& engine, const std::vector<Request>& requests) {
  std::map<RequestId, size_t> index;
  for (const Request& request : requests) index.emplace(engine.submit(request), index.size());
  std::vector<Answer> result(requests.size());
  while (!engine.idle()) {
    for (const EngineEvent& event : engine.step()) {
      if (const auto* failed = std::get_if<RequestFailed>(&event)) throw failed->error;
      if (const auto* chosen = std::get_if<TokenChosen>(&event)) {
        Answer& answer = result[index.at(chosen->request)];
        answer.ids.push_back(chosen->id);
        answer.logprobs.push_back(chosen->logprob);
      }
      if (const auto* end = std::get_if<RequestFinished>(&event)) {
        Answer& answer = result[index.at(end->request)];
        answer.reason = end->reason;
        answer.drafted = end->drafted_tokens;
        answer.accepted = end->accepted_tokens;
        EXPECT_EQ(end->new_tokens, static_cast<int64_t>(answer.ids.size()));
      }
    }
  }
  return result;
}

/// Greedy and sampled, stopped by a token and by length, two choices of one prompt, across anchors (16) and pages (64).
std::vector<Request> requests_for_all() {
  std::vector<Request> requests;
  for (const int64_t length : {1, 14, 50, 70}) {
    Request greedy_one{.prompt = prompt_of(length, static_cast<uint32_t>(length)), .max_new_tokens = 40, .logprobs = 0};
    Request sampled = greedy_one;
    sampled.sampling = {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .repetition_penalty = 1.1f, .seed = 5};
    sampled.stop_ids = {TokenId{17}, TokenId{101}, TokenId{333}};
    Request other = sampled;
    other.choice = 1;
    requests.insert(requests.end(), {greedy_one, sampled, other});
  }
  // A text that repeats itself, for n-grams.
  Request repeated = requests.front();
  const auto once = prompt_of(6, 3);
  repeated.prompt.clear();
  for (int i = 0; i < 5; ++i) repeated.prompt.insert(repeated.prompt.end(), once.begin(), once.end());
  requests.push_back(repeated);
  return requests;
}

class Speculation : public testing::TestWithParam<const char*> {};

TEST_P(Speculation, TheTextIsThatOfPlainDecoding) {
  Runtime runtime(2);
  const auto model = load_model(golden(GetParam()), runtime, "cpu", {.mtp = true});
  const auto requests = requests_for_all();
  Engine plain(model->decoder);
  const std::vector<Answer> expected = answers(plain, requests);
  std::vector<Drafter> drafters = {Drafter::kNgram, Drafter::kModel};
  if (model->decoder->has_mtp()) drafters.push_back(Drafter::kMtp);
  for (const Drafter drafter : drafters) {
    int64_t drafted = 0, accepted = 0;
    for (const int64_t tokens : {1, 3, 16}) {
      if (kSanitized && tokens == 3) continue;
      const SpeculationOptions speculation{drafter, tokens, model->decoder, /*always=*/true};
      Engine together(model->decoder, {.speculation = speculation, .max_step_rows = 50});
      const std::vector<Answer> batch = answers(together, requests);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(batch[i], expected[i]) << "drafter " << static_cast<int>(drafter) << ", " << tokens
                                         << " drafts, request " << i << " among others";
        Engine alone(model->decoder, {.speculation = speculation});
        const Answer one = answers(alone, {requests[i]}).front();
        EXPECT_EQ(one, expected[i]) << "drafter " << static_cast<int>(drafter) << ", " << tokens << " drafts, request "
                                    << i;
        drafted += one.drafted, accepted += one.accepted;
        if (drafter == Drafter::kModel) {
          // The model itself: every draft is right; those behind the end of an answer are not judged.
          EXPECT_GE(one.accepted + tokens, one.drafted) << "request " << i;
          if (one.reason == FinishReason::kLength) {
            EXPECT_EQ(one.accepted, one.drafted) << "request " << i;
          }
        }
      }
    }
    // Texts of random models seldom repeat themselves; of the llama one they do.
    if (drafter != Drafter::kNgram || std::string_view(GetParam()).starts_with("text/llama31")) {
      EXPECT_GT(drafted, 0) << static_cast<int>(drafter);
    }
    if (drafter == Drafter::kModel) {
      EXPECT_GT(accepted, kSanitized ? 300 : 500);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Speculation,
                         testing::Values("text/llama31-gqa-scaled", "text/qwen2-window", "text/llama4-behemoth-like",
                                         "text/qwen3moe", "text/qwen3next", "text/qwen35-dense",
                                         "gguf/qwen35-dense-vheads.bf16.gguf", "text/qwen35-moe"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

TEST(SpeculationOptions, AnotherModelMayDraft) {
  Runtime runtime(2);
  const auto model = load_model(golden("text/qwen35-dense"), runtime, "cpu");
  const auto other = load_model(golden("text/qwen3next"), runtime, "cpu");
  const auto requests = requests_for_all();
  Engine plain(model->decoder);
  Engine drafted(model->decoder, {.speculation = {Drafter::kModel, 4, other->decoder, true}});
  EXPECT_EQ(answers(drafted, requests), answers(plain, requests));
}

TEST(SpeculationOptions, WrongOnesAreRefused) {
  Runtime runtime(1);
  const auto model = load_model(golden("text/qwen3-dense"), runtime, "cpu");
  const auto make = [&](const SpeculationOptions& options) { Engine engine(model->decoder, {.speculation = options}); };
  EXPECT_ERROR(make({Drafter::kMtp, 4, {}, false}), ErrorCode::kUnsupportedFeature, "none");
  EXPECT_ERROR(make({Drafter::kNgram, 0, {}, false}), ErrorCode::kBadValue, "legal: 1 to 16");
  EXPECT_ERROR(make({Drafter::kNgram, 17, {}, false}), ErrorCode::kBadValue, "17");
  const auto other = load_model(golden("gguf_quant/qwen3/q8_0.gguf"), runtime, "cpu");
  if (other->decoder->spec().vocabulary != model->decoder->spec().vocabulary) {
    EXPECT_ERROR(make({Drafter::kModel, 4, other->decoder, false}), ErrorCode::kBadValue, "vocabulary");
  }
}

TEST(NgramDraft, IsWhatFollowedTheLastPlaceThatEndsLikeTheText) {
  const auto ids = [](std::initializer_list<int32_t> values) {
    std::vector<TokenId> list;
    for (const int32_t v : values) list.push_back(TokenId{v});
    return list;
  };
  EXPECT_EQ(ngram_draft(ids({1, 2, 3, 9, 8, 1, 2, 3}), 2), ids({9, 8}));
  EXPECT_EQ(ngram_draft(ids({1, 2, 3, 9, 8, 1, 2, 3}), 9), ids({9, 8, 1, 2, 3}));
  EXPECT_EQ(ngram_draft(ids({5, 2, 3, 7, 2, 3, 6, 4, 2, 3}), 1), ids({6})) << "the last place";
  EXPECT_EQ(ngram_draft(ids({4, 4, 4, 4}), 3), ids({4})) << "one place back, where one token follows";
  EXPECT_EQ(ngram_draft(ids({1, 2, 3, 4}), 3), ids({}));
  EXPECT_EQ(ngram_draft(ids({1}), 3), ids({}));
}

TEST(DraftPolicy, RestsWhileDraftingIsSlower) {
  const auto drafting_steps = [](double drafted_seconds, bool always) {
    DraftPolicy policy(always);
    int64_t drafts = 0;
    for (int step = 0; step < 640; ++step) {
      const bool draft = policy.wants_drafts();
      drafts += draft;
      policy.on_step(draft, draft ? 2 : 1, draft ? drafted_seconds : 1.0);
    }
    return drafts;
  };
  EXPECT_EQ(drafting_steps(1.5, false), 640 - 20) << "two plain steps in 64, to know what they take";
  EXPECT_LT(drafting_steps(3.0, false), 160);
  EXPECT_GT(drafting_steps(3.0, false), 20) << "it is tried again";
  EXPECT_EQ(drafting_steps(3.0, true), 640);
}

}  // namespace
}  // namespace duet::test
