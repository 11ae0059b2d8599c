#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/progress.h"

namespace duet {

class Engine;

struct SpeedOptions {
  int64_t prompt_tokens = 256;  // at most half of the context
  int64_t answer_tokens = 32;
  int repetitions = 3;
};

/// How fast a model reads and writes, medians over the repetitions.
struct Speed {
  int64_t prompt_tokens = 0, answer_tokens = 0;  // of one repetition
  double prompt_tokens_per_second = 0.0;         // until the first token was chosen
  double answer_tokens_per_second = 0.0;         // after the first
};

/// An engine to measure, and its vocabulary, from which the prompts are drawn.
struct SpeedSubject {
  Engine* engine;
  int64_t vocabulary;
};

/// Measures several engines in turns, A B A B ..., so that a machine that becomes slower does so for all of them. Every
/// prompt is another, so that none is known already; a short run before the first warms each up. `step(done, total)` is
/// told of each run. Throws cancelled, and what a request fails with.
std::vector<Speed> measure_speed(std::span<const SpeedSubject> subjects, const SpeedOptions& options,
                                 const Cancelled& cancelled,
                                 const std::function<void(int64_t done, int64_t total)>& step = {});

}  // namespace duet
