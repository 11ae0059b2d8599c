#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/progress.h"

namespace duet {

class Engine;

/// A figure that was measured several times.
struct Summary {
  double median = 0, low = 0, high = 0;
};
/// Of the middle two the mean, where the number is even. All 0 without a value.
Summary summarize(std::vector<double> values);

/// What one repetition measures.
struct SpeedPlan {
  int64_t prompt_tokens = 256;
  int64_t answer_tokens = 32;
  int64_t depth_tokens = 0;  // of the sequence, before both
  int64_t sequences = 1;     // that write at the same time
  bool operator==(const SpeedPlan&) const = default;
};
/// The plan, but with lengths that a context of so many tokens holds twice.
SpeedPlan fitted(SpeedPlan plan, int64_t context_tokens);

/// Tokens per second of one repetition; 0 where it was not measured.
struct SpeedSample {
  double reading = 0;  // a prompt at the depth, until its last row has given a token
  double writing = 0;  // answers from the depth on, all sequences together, after the first token of each
};

/// Something whose speed is measured.
class SpeedSubject {
 public:
  virtual ~SpeedSubject() = default;
  virtual void warm_up(const Cancelled& cancelled) = 0;
  /// `run` counts the repetitions. Throws cancelled, and what a measurement fails with.
  virtual SpeedSample measure(uint32_t run, const Cancelled& cancelled) = 0;
};

/// An engine. Its prompts are drawn from the vocabulary, each another, so that none is known already but the tokens
/// before the depth. The engine has nothing else in flight.
class EngineSubject final : public SpeedSubject {
 public:
  /// Throws context_overflow (names both sizes), bad_value.
  EngineSubject(Engine& engine, int64_t vocabulary, const SpeedPlan& plan);
  void warm_up(const Cancelled& cancelled) override;
  SpeedSample measure(uint32_t run, const Cancelled& cancelled) override;
  /// The parts of measure(), in this order: tokens per second.
  double measure_reading(uint32_t run, const Cancelled& cancelled);
  double measure_writing(uint32_t run, const Cancelled& cancelled);

 private:
  std::vector<TokenId> prompt(int64_t sequence, int64_t more, uint32_t run) const;
  double read_seconds(std::vector<TokenId> prompt, const Cancelled& cancelled);
  double write_seconds(uint32_t run, const Cancelled& cancelled);

  Engine& engine_;
  int64_t vocabulary_;
  SpeedPlan plan_;
};

/// How fast a subject reads and writes, tokens per second, over the repetitions.
struct Speed {
  std::vector<SpeedSample> samples;
  Summary reading, writing;
};
Speed speed_of(std::vector<SpeedSample> samples);

/// Measures several subjects in turns, A B A B ..., so that a machine that becomes slower does so for all of them; each
/// is warmed up before. `step(done, total)` is told of each run. Throws cancelled, and what a measurement fails with.
std::vector<Speed> measure_speed(std::span<SpeedSubject* const> subjects, int repetitions, const Cancelled& cancelled,
                                 const std::function<void(int64_t done, int64_t total)>& step = {});

}  // namespace duet
