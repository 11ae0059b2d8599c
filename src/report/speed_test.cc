#include "report/speed.h"

#include "chat/session.h"
#include "tests/support.h"

namespace duet {
namespace {

TEST(Speed, SummaryIsMedianAndEnds) {
  EXPECT_EQ(summarize({}).median, 0);
  const Summary odd = summarize({3, 1, 2}), even = summarize({4, 1, 3, 2});
  EXPECT_EQ(odd.median, 2);
  EXPECT_EQ(odd.low, 1);
  EXPECT_EQ(odd.high, 3);
  EXPECT_EQ(even.median, 2.5);
  EXPECT_EQ(even.high, 4);
}

TEST(Speed, WhatWasNotMeasuredDoesNotCount) {
  const Speed speed = speed_of({{.reading = 0, .writing = 5}, {.reading = 0, .writing = 7}});
  EXPECT_EQ(speed.reading.median, 0);
  EXPECT_EQ(speed.writing.median, 6);
}

TEST(Speed, APlanFitsASmallContext) {
  EXPECT_EQ(fitted({.prompt_tokens = 256, .answer_tokens = 32}, 4096), (SpeedPlan{256, 32}));
  EXPECT_EQ(fitted({.prompt_tokens = 256, .answer_tokens = 32}, 40), (SpeedPlan{20, 18}));
}

/// Records what is asked of it.
class Scripted final : public SpeedSubject {
 public:
  Scripted(std::string name, std::string& log) : name_(std::move(name)), log_(log) {}
  void warm_up(const Cancelled&) override { log_ += "w" + name_; }
  SpeedSample measure(uint32_t run, const Cancelled&) override {
    log_ += name_ + std::to_string(run);
    return {1.0 + run, 10.0 + run};
  }

 private:
  std::string name_;
  std::string& log_;
};

TEST(Speed, SubjectsTakeTurns) {
  std::string log;
  Scripted a("a", log), b("b", log);
  SpeedSubject* const subjects[] = {&a, &b};
  std::vector<int64_t> steps;
  const std::vector<Speed> speeds = measure_speed(subjects, 3, {}, [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 8);
    steps.push_back(done);
  });
  EXPECT_EQ(log, "wawba0b0a1b1a2b2");
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(speeds.at(1).reading.median, 2);
  EXPECT_EQ(speeds.at(1).writing.high, 12);
}

class EngineSpeedTest : public testing::Test {
 protected:
  Session session{test::golden("gguf/llama32-tied.bf16.gguf"), {.threads = 2}};
  int64_t vocabulary = session.model().description().spec.vocabulary;
};

TEST_F(EngineSpeedTest, DepthAndSequencesAreMeasured) {
  EngineSubject subject(session.engine(), vocabulary,
                        {.prompt_tokens = 9, .answer_tokens = 4, .depth_tokens = 20, .sequences = 3});
  subject.warm_up({});
  for (uint32_t run = 0; run < 2; ++run) {
    const SpeedSample sample = subject.measure(run, {});
    EXPECT_GT(sample.reading, 0);
    EXPECT_GT(sample.writing, 0);
    EXPECT_TRUE(session.engine().idle());
  }
}

TEST_F(EngineSpeedTest, LengthsThatDoNotFitAreRefused) {
  const int64_t context = session.context_tokens();
  EXPECT_ERROR(EngineSubject(session.engine(), vocabulary, {.depth_tokens = context}), ErrorCode::kContextOverflow,
               std::to_string(context));
  EXPECT_ERROR(EngineSubject(session.engine(), vocabulary, {.sequences = 0}), ErrorCode::kBadValue, "0 sequences");
  const SpeedPlan whole{.prompt_tokens = 1, .answer_tokens = context - 2};
  EXPECT_GT(EngineSubject(session.engine(), vocabulary, whole).measure(0, {}).writing, 0);
}

TEST_F(EngineSpeedTest, CancelLeavesAnIdleEngine) {
  EngineSubject subject(session.engine(), vocabulary, {});
  EXPECT_ERROR(subject.measure(0, [] { return true; }), ErrorCode::kCancelled, "interrupted");
  EXPECT_TRUE(session.engine().idle());
}

}  // namespace
}  // namespace duet
