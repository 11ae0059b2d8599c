#include "model/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/gguf_bytes.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

GenerationConfig from_json(const std::string& generation, const std::string& config = R"({"vocab_size": 100})") {
  const fs::path folder = temporary_folder();
  std::ofstream(folder / "generation_config.json") << generation;
  std::ofstream(folder / "config.json") << config;
  return read_generation_config(Checkpoint::open(folder), 100);
}

TEST(GenerationConfig, EveryFieldOfSamplingIsRead) {
  const GenerationConfig config = from_json(
      R"({"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": 0.0, "typical_p": 0.95,
          "repetition_penalty": 1.05, "presence_penalty": -1.5, "frequency_penalty": 0, "eos_token_id": [7, 3, 7],
          "bos_token_id": 1, "pad_token_id": 2, "max_new_tokens": 2048, "transformers_version": "4.51.0",
          "_from_model_config": true})");
  EXPECT_EQ(config.do_sample, true);
  EXPECT_EQ(config.temperature, 0.7);
  EXPECT_EQ(config.top_k, 20);
  EXPECT_EQ(config.top_p, 0.8);
  EXPECT_EQ(config.min_p, 0.0);
  EXPECT_EQ(config.typical_p, 0.95);
  EXPECT_EQ(config.repetition_penalty, 1.05);
  EXPECT_EQ(config.presence_penalty, -1.5);
  EXPECT_EQ(config.frequency_penalty, 0.0);
  EXPECT_THAT(config.end_ids, ElementsAre(3, 7));
  EXPECT_TRUE(config.warnings.empty()) << config.warnings[0];
  EXPECT_EQ(from_json(R"({"temperature": null})").temperature, std::nullopt);
  EXPECT_THAT(from_json("{}", R"({"vocab_size": 100, "eos_token_id": 9})").end_ids, ElementsAre(9));
  EXPECT_ERROR(from_json(R"({"presence_penalty": 101})"), ErrorCode::kBadValue, "presence_penalty");
  EXPECT_ERROR(from_json(R"({"frequency_penalty": "a"})"), ErrorCode::kBadType, "frequency_penalty");
}

TEST(GenerationConfig, StepsThatDuetDoesNotHaveAreNamed) {
  const GenerationConfig config = from_json(
      R"({"no_repeat_ngram_size": 3, "num_beams": 4, "suppress_tokens": [1], "epsilon_cutoff": 0.1, "mystery": 1})");
  EXPECT_THAT(config.warnings, ElementsAre(HasSubstr("generation_config.json: no_repeat_ngram_size is 3"),
                                           HasSubstr("suppress_tokens is [1]"), HasSubstr("epsilon_cutoff is 0.1"),
                                           HasSubstr("num_beams is 4"), HasSubstr("the key mystery")));
  EXPECT_TRUE(from_json(R"({"no_repeat_ngram_size": 0, "num_beams": 1, "suppress_tokens": [], "bad_words_ids": null,
                            "guidance_scale": 1.0, "epsilon_cutoff": 0.0, "forced_eos_token_id": null})")
                  .warnings.empty());
}

TEST(GenerationConfig, AGgufFileSaysItUnderItsOwnNames) {
  const auto read = [](GgufBytes bytes) {
    const fs::path path = temporary_folder() / "model.gguf";
    const std::string text = bytes.string("general.architecture", "llama").build();
    std::ofstream(path, std::ios::binary) << text;
    return read_generation_config(Checkpoint::open(path), 100);
  };
  const GenerationConfig config = read(GgufBytes()
                                           .pair("general.sampling.temp", 6, le(0.5f))
                                           .pair("general.sampling.top_k", 5, le(int32_t{20}))
                                           .pair("general.sampling.top_p", 6, le(0.75f))
                                           .pair("general.sampling.min_p", 6, le(0.0f))
                                           .pair("general.sampling.xtc_probability", 6, le(0.25f))
                                           .pair("general.sampling.penalty_repeat", 6, le(1.5f)));
  EXPECT_EQ(config.temperature, 0.5);
  EXPECT_EQ(config.top_k, 20);
  EXPECT_EQ(config.top_p, 0.75);
  EXPECT_EQ(config.min_p, 0.0);
  EXPECT_EQ(config.xtc_probability, 0.25);
  EXPECT_EQ(config.repetition_penalty, 1.5);
  EXPECT_TRUE(config.warnings.empty());
  EXPECT_EQ(read(GgufBytes()).temperature, std::nullopt);
  EXPECT_THAT(
      read(GgufBytes()
               .pair("general.sampling.mirostat", 5, le(int32_t{2}))
               .pair("general.sampling.penalty_repeat", 6, le(1.5f))
               .pair("general.sampling.penalty_last_n", 5, le(int32_t{64})))
          .warnings,
      ElementsAre(HasSubstr("general.sampling.penalty_last_n is 64"), HasSubstr("general.sampling.mirostat is 2")));
  EXPECT_ERROR(read(GgufBytes().pair("general.sampling.top_p", 6, le(1.5f))), ErrorCode::kBadValue,
               "general.sampling.top_p is 1.5");
}

}  // namespace
}  // namespace duet::test
