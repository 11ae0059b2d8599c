#include "report/speed.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/error.h"
#include "engine/engine.h"

namespace duet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Any ids do: what a step costs does not depend on them. A linear congruence (Numerical Recipes' constants) spreads
/// them over the vocabulary; `run` makes prompts differ from their first token on.
std::vector<TokenId> prompt_ids(int64_t tokens, int64_t vocabulary, uint32_t run) {
  std::vector<TokenId> ids;
  uint32_t state = run * 2654435761u + 12345u;
  for (int64_t i = 0; i < tokens; ++i) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(TokenId{static_cast<int32_t>((uint64_t{state} * static_cast<uint64_t>(vocabulary)) >> 32)});
  }
  return ids;
}

struct Times {
  double prompt = 0, answer = 0;
};

/// One request from its submission to its last token.
Times time_request(Engine& engine, std::vector<TokenId> prompt, int64_t answer_tokens, const Cancelled& cancelled) {
  const auto begin = Clock::now();
  std::optional<Clock::time_point> first;
  Clock::time_point last = begin;
  const RequestId id = engine.submit({.prompt = std::move(prompt), .max_new_tokens = answer_tokens});
  bool cancelling = false;
  while (!engine.idle()) {
    if (!cancelling && cancelled && cancelled()) {
      engine.cancel(id);
      cancelling = true;
    }
    for (const EngineEvent& event : engine.step()) {
      if (const auto* failed = std::get_if<RequestFailed>(&event)) throw failed->error;
      if (!std::holds_alternative<TokenChosen>(event)) continue;
      last = Clock::now();
      if (!first) first = last;
    }
  }
  if (cancelling) throw Error(ErrorCode::kCancelled, "interrupted");
  return {seconds(first.value_or(last) - begin), seconds(last - first.value_or(last))};
}

}  // namespace

std::vector<Speed> measure_speed(std::span<const SpeedSubject> subjects, const SpeedOptions& options,
                                 const Cancelled& cancelled,
                                 const std::function<void(int64_t done, int64_t total)>& step) {
  const int64_t total = static_cast<int64_t>(subjects.size()) * (options.repetitions + 1);
  int64_t done = 0;
  uint32_t run = 0;
  const auto told = [&] {
    if (step) step(done, total);
    ++done;
  };
  std::vector<Speed> speeds;
  for (const SpeedSubject& subject : subjects) {
    told();
    const int64_t half = std::max<int64_t>(1, subject.engine->context_tokens() / 2);
    speeds.push_back({.prompt_tokens = std::clamp<int64_t>(options.prompt_tokens, 1, half),
                      .answer_tokens = std::clamp<int64_t>(options.answer_tokens, 2, std::max<int64_t>(2, half))});
    time_request(*subject.engine, prompt_ids(std::min<int64_t>(16, half), subject.vocabulary, run++), 2, cancelled);
  }
  std::vector<std::vector<double>> reading(subjects.size()), writing(subjects.size());
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      told();
      const Speed& plan = speeds[i];
      const Times times =
          time_request(*subjects[i].engine, prompt_ids(plan.prompt_tokens, subjects[i].vocabulary, run++),
                       plan.answer_tokens, cancelled);
      reading[i].push_back(static_cast<double>(plan.prompt_tokens) / times.prompt);
      writing[i].push_back(static_cast<double>(plan.answer_tokens - 1) / times.answer);
    }
  }
  for (size_t i = 0; i < subjects.size(); ++i) {
    speeds[i].prompt_tokens_per_second = median(reading[i]);
    speeds[i].answer_tokens_per_second = median(writing[i]);
  }
  if (step) step(total, total);
  return speeds;
}

}  // namespace duet
