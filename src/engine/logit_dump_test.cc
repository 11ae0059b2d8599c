#include "engine/logit_dump.h"

#include <algorithm>

#include "backend/backend.h"
#include "base/file.h"
#include "engine/engine.h"
#include "tests/golden_file.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet {
namespace {

ModelSpec small_spec() {
  ModelSpec spec;
  spec.vocabulary = 100;
  spec.context_tokens = 8;
  return spec;
}

auto prompts(std::string_view text) { return read_prompts(parse_json(text, "ids.json"), "ids.json", small_spec()); }
auto rows(std::string_view text) {
  return read_rows(parse_json(text, "rows.json"), "rows.json", prompts("[[1,2,3],[4]]"));
}

TEST(LogitJob, ReadsPromptsAndRows) {
  const auto expected = std::vector<std::vector<TokenId>>{{TokenId{1}, TokenId{2}}, {TokenId{99}}};
  EXPECT_EQ(prompts("[[1,2],[99]]"), expected);
  EXPECT_EQ(prompts(R"({"note": 3, "prompts": [[1,2],[99]]})"), expected);
  EXPECT_EQ(rows("[[1,0],[0,2],[0,2]]"), (std::vector<LogitRow>{{1, 0}, {0, 2}, {0, 2}}));
  EXPECT_EQ(all_rows(expected), (std::vector<LogitRow>{{0, 0}, {0, 1}, {1, 0}}));
}

TEST(LogitJob, RefusesWhatCannotBeMeant) {
  EXPECT_ERROR(prompts("[]"), ErrorCode::kBadValue, "no prompt");
  EXPECT_ERROR(prompts("[[1],[]]"), ErrorCode::kBadValue, "prompt 1 is empty");
  EXPECT_ERROR(prompts("[1]"), ErrorCode::kBadType, "prompt 0 is integer");
  EXPECT_ERROR(prompts("{}"), ErrorCode::kMissingKey, "prompts");
  EXPECT_ERROR(prompts("\"x\""), ErrorCode::kBadType, "ids.json");
  EXPECT_ERROR(prompts("[[1,100]]"), ErrorCode::kBadValue, "id 1 of prompt 0 is 100, legal: 0 to 99");
  EXPECT_ERROR(prompts("[[-1]]"), ErrorCode::kBadValue, "-1");
  EXPECT_ERROR(prompts("[[4294967297]]"), ErrorCode::kBadValue, "4294967297");
  EXPECT_ERROR(prompts("[[1e0]]"), ErrorCode::kBadType, "id 0 of prompt 0");
  EXPECT_ERROR(prompts("[[true]]"), ErrorCode::kBadType, "bool");
  EXPECT_ERROR(prompts("[[99999999999999999999]]"), ErrorCode::kBadValue, "64 bits");
  EXPECT_ERROR(prompts("[[1,1,1,1,1,1,1,1,1]]"), ErrorCode::kContextOverflow, "9 ids");
  EXPECT_ERROR(rows("[]"), ErrorCode::kBadValue, "no row");
  EXPECT_ERROR(rows("[[0]]"), ErrorCode::kBadValue, "row 0");
  EXPECT_ERROR(rows("[[2,0]]"), ErrorCode::kBadValue, "0 to 1");
  EXPECT_ERROR(rows("[[0,0],[1,1]]"), ErrorCode::kBadValue, "position of row 1 is 1");
  EXPECT_ERROR(rows("[[0,-1]]"), ErrorCode::kBadValue, "-1");
  EXPECT_ERROR(rows("{}"), ErrorCode::kBadType, "object");
}

class LogitDumpTest : public testing::Test {
 protected:
  Runtime runtime{1};
  std::unique_ptr<test::TestModel> model = test::load_model(test::golden("text/qwen3-dense"), runtime, "ref");
  const ModelSpec& spec = model->decoder->spec();
  Engine engine{model->decoder};
  std::filesystem::path folder = test::temporary_folder();
  std::filesystem::path out = folder / "o.safetensors";
  std::vector<std::vector<TokenId>> sequences{{TokenId{3}, TokenId{1}, TokenId{4}}, {TokenId{7}, TokenId{7}}};

  void dump(LogitJob job) {
    LogitDump(std::move(job), spec, out).run(engine, [] {});
  }
  bool folder_is_empty() const { return std::filesystem::is_empty(folder); }
};

TEST_F(LogitDumpTest, AllRowsAreThoseOfScore) {
  dump({.prompts = sequences, .rows = all_rows(sequences), .hidden = true, .greedy_tokens = 4});
  const test::GoldenFile file(out);
  const auto scores = test::score_all(engine, sequences, true);
  EXPECT_EQ(file.f32("logits"), scores.logits);
  const auto layers = spec.layers.size();
  for (size_t i = 0; i <= layers; ++i) EXPECT_EQ(file.f32("hidden." + std::to_string(i)), scores.hidden[i]) << i;
  EXPECT_EQ(file.f32("hidden.norm"), scores.hidden[layers + 1]);
  std::vector<int64_t> greedy;
  for (const auto& sequence : sequences) {
    for (const TokenId id : test::greedy(engine, sequence, 4)) greedy.push_back(to_int(id));
  }
  EXPECT_EQ(file.i64("greedy_ids"), greedy);
  EXPECT_EQ(file.shape("greedy_ids"), (Shape{2, 4}));
}

TEST_F(LogitDumpTest, RowsStandInTheOrderThatIsAskedFor) {
  const std::vector<LogitRow> wanted{{1, 1}, {0, 2}, {0, 0}, {1, 1}};
  dump({.prompts = sequences, .rows = wanted, .hidden = true, .greedy_tokens = 0});
  const test::GoldenFile file(out);
  const auto scores = test::score_all(engine, sequences, true);
  const auto logits = file.f32("logits");
  const auto norm = file.f32("hidden.norm");
  const auto vocabulary = static_cast<size_t>(spec.vocabulary), width = static_cast<size_t>(spec.hidden_dim);
  ASSERT_EQ(logits.size(), wanted.size() * vocabulary);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto row = static_cast<size_t>(wanted[i].prompt * 3 + wanted[i].position);
    EXPECT_TRUE(std::equal(logits.begin() + static_cast<ptrdiff_t>(i * vocabulary),
                           logits.begin() + static_cast<ptrdiff_t>((i + 1) * vocabulary),
                           scores.logits.begin() + static_cast<ptrdiff_t>(row * vocabulary)));
    EXPECT_TRUE(std::equal(norm.begin() + static_cast<ptrdiff_t>(i * width),
                           norm.begin() + static_cast<ptrdiff_t>((i + 1) * width),
                           scores.hidden.back().begin() + static_cast<ptrdiff_t>(row * width)));
  }
  EXPECT_FALSE(file.has("greedy_ids"));
}

TEST_F(LogitDumpTest, AfterAFailureThereIsNoFile) {
  const LogitJob job{.prompts = sequences, .rows = all_rows(sequences), .hidden = false, .greedy_tokens = 2};
  for (int calls = 0; calls < 6; ++calls) {
    int left = calls;
    const auto check = [&] {
      if (left-- == 0) throw Error(ErrorCode::kCancelled, "interrupted");
    };
    EXPECT_ERROR(LogitDump(job, spec, out).run(engine, check), ErrorCode::kCancelled, "interrupted");
    EXPECT_TRUE(folder_is_empty()) << calls;
    EXPECT_TRUE(engine.idle()) << calls;
  }
}

TEST_F(LogitDumpTest, WhatCannotBeDoneFailsBeforeAnyWork) {
  const LogitJob job{
      .prompts = sequences, .rows = all_rows(sequences), .hidden = false, .greedy_tokens = spec.context_tokens};
  EXPECT_ERROR(LogitDump(job, spec, out), ErrorCode::kContextOverflow, "prompt 0");
  const LogitJob good{.prompts = sequences, .rows = all_rows(sequences)};
  EXPECT_ERROR(LogitDump(good, spec, folder / "absent" / "o.safetensors"), ErrorCode::kNotFound, "absent");
  EXPECT_ERROR(LogitDump(good, spec, folder), ErrorCode::kIoError, "folder");
  EXPECT_TRUE(folder_is_empty());
}

}  // namespace
}  // namespace duet
