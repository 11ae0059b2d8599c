#include "chat/loaded_model.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

std::optional<SamplingParams> recommended(const std::string& generation) {
  const fs::path folder = temporary_folder() / "qwen3-tied";
  fs::copy(golden("text/qwen3-tied"), folder, fs::copy_options::recursive);
  std::ofstream(folder / "generation_config.json") << generation;
  return LoadedModel(folder).recommended_sampling();
}

TEST(RecommendedSampling, WhatIsAbsentHasTheDefaultsOfTransformers) {
  const auto some = recommended(R"({"do_sample": true, "temperature": 0.6, "presence_penalty": 1.5})");
  ASSERT_TRUE(some);
  EXPECT_EQ(some->temperature, 0.6f);
  EXPECT_EQ(some->top_k, 50);
  EXPECT_EQ(some->top_p, 1.0f);
  EXPECT_EQ(some->typical_p, 1.0f);
  EXPECT_EQ(some->repetition_penalty, 1.0f);
  EXPECT_EQ(some->presence_penalty, 1.5f);
  EXPECT_EQ(some->xtc_threshold, SamplingParams{}.xtc_threshold);
  const auto bare = recommended(R"({"do_sample": true})");
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->temperature, 1.0f);
}

TEST(RecommendedSampling, GreedyIsWhatTheySayWhereTheyDoNotSample) {
  EXPECT_FALSE(recommended("{}"));
  EXPECT_EQ(recommended(R"({"do_sample": false, "temperature": 0.6})")->temperature, 0.0f);
  const auto penalised = recommended(R"({"repetition_penalty": 1.1})");
  ASSERT_TRUE(penalised);
  EXPECT_EQ(penalised->temperature, 0.0f);
  EXPECT_EQ(penalised->repetition_penalty, 1.1f);
}

}  // namespace
}  // namespace duet::test
