#include "report/speed.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include "base/error.h"
#include "engine/engine.h"

namespace duet {
namespace {

using Clock = std::chrono::steady_clock;

/// Numbers of prompts that no repetition has, for the tokens before the depth.
constexpr uint32_t kDepthRun = uint32_t{1} << 31;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Any ids do: what a step costs does not depend on them. A linear congruence (Numerical Recipes' constants) spreads
/// them over the vocabulary; `run` makes prompts differ from their first token on.
void append_ids(std::vector<TokenId>& ids, int64_t tokens, int64_t vocabulary, uint32_t run) {
  uint32_t state = run * 2654435761u + 12345u;
  for (int64_t i = 0; i < tokens; ++i) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(TokenId{static_cast<int32_t>((uint64_t{state} * static_cast<uint64_t>(vocabulary)) >> 32)});
  }
}

/// The requests of a measurement. All are cancelled when it ends, however it does.
class Flight {
 public:
  Flight(Engine& engine, const Cancelled& cancelled) : engine_(engine), cancelled_(cancelled) {}
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  ~Flight() {
    for (const RequestId id : ids_) engine_.cancel(id);
    while (!engine_.idle()) engine_.step();
  }
  void submit(std::vector<TokenId> prompt, int64_t max_new_tokens) {
    ids_.push_back(engine_.submit({.prompt = std::move(prompt), .max_new_tokens = max_new_tokens}));
  }
  /// One step; the requests that got a token. Throws what a request failed with, and cancelled.
  std::vector<RequestId> step() {
    if (cancelled_ && cancelled_()) throw Error(ErrorCode::kCancelled, "interrupted");
    std::vector<RequestId> chosen;
    for (const EngineEvent& event : engine_.step()) {
      if (const auto* failed = std::get_if<RequestFailed>(&event)) throw failed->error;
      if (const auto* token = std::get_if<TokenChosen>(&event)) chosen.push_back(token->request);
    }
    return chosen;
  }

 private:
  Engine& engine_;
  const Cancelled& cancelled_;
  std::vector<RequestId> ids_;
};

}  // namespace

Summary summarize(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

SpeedPlan fitted(SpeedPlan plan, int64_t context_tokens) {
  const int64_t half = std::max<int64_t>(1, context_tokens / 2);
  plan.prompt_tokens = std::min(plan.prompt_tokens, half);
  plan.answer_tokens = std::clamp<int64_t>(plan.answer_tokens, 1, std::max<int64_t>(1, half - 2));
  return plan;
}

EngineSubject::EngineSubject(Engine& engine, int64_t vocabulary, const SpeedPlan& plan)
    : engine_(engine), vocabulary_(vocabulary), plan_(plan) {
  if (plan.prompt_tokens < 1 || plan.answer_tokens < 1 || plan.depth_tokens < 0 || plan.sequences < 1) {
    fail(ErrorCode::kBadValue,
         "prompt {}, answer {}, depth {} tokens, {} sequences; legal: 1 or more, and 0 or more for the depth",
         plan.prompt_tokens, plan.answer_tokens, plan.depth_tokens, plan.sequences);
  }
  // A sequence begins with a token, and has one more before all of them write.
  const int64_t wanted = plan.depth_tokens + std::max(plan.prompt_tokens, plan.answer_tokens + 1) + 1;
  if (wanted > engine.context_tokens()) {
    throw Error(ErrorCode::kContextOverflow,
                fmt::format("a depth of {} tokens with a prompt of {} or an answer of {} needs a context of {}, which "
                            "holds {}",
                            plan.depth_tokens, plan.prompt_tokens, plan.answer_tokens, wanted, engine.context_tokens()),
                "shorter lengths fit, or raise --ctx where the model allows it");
  }
}

/// The tokens before the depth, the same for every run of a sequence, and `more` that are this run's own.
std::vector<TokenId> EngineSubject::prompt(int64_t sequence, int64_t more, uint32_t run) const {
  std::vector<TokenId> ids;
  append_ids(ids, plan_.depth_tokens, vocabulary_, kDepthRun + static_cast<uint32_t>(sequence));
  append_ids(ids, more, vocabulary_, run);
  return ids;
}

/// What stands before the depth is computed here once; the engine keeps it as the state of an earlier request.
void EngineSubject::warm_up(const Cancelled& cancelled) {
  read_seconds(prompt(0, std::min<int64_t>(256, plan_.prompt_tokens), kDepthRun - 1), cancelled);
}

double EngineSubject::read_seconds(std::vector<TokenId> ids, const Cancelled& cancelled) {
  Flight flight(engine_, cancelled);
  const auto begin = Clock::now();
  flight.submit(std::move(ids), 1);
  while (flight.step().empty()) {
  }
  return seconds_since(begin);
}

/// From the step after which every sequence writes; those that began earlier go on meanwhile.
double EngineSubject::write_seconds(uint32_t run, const Cancelled& cancelled) {
  Flight flight(engine_, cancelled);
  for (int64_t i = 0; i < plan_.sequences; ++i) {
    flight.submit(prompt(i, 1, run * static_cast<uint32_t>(plan_.sequences) + static_cast<uint32_t>(i)), 0);
  }
  std::map<RequestId, int64_t> begun;
  while (static_cast<int64_t>(begun.size()) < plan_.sequences) {
    for (const RequestId id : flight.step()) ++begun[id];
  }
  const auto begin = Clock::now();
  for (int64_t i = 0; i < plan_.answer_tokens; ++i) {
    if (const auto tokens = static_cast<int64_t>(flight.step().size()); tokens != plan_.sequences) {
      throw Error(ErrorCode::kContextOverflow,
                  fmt::format("only {} of {} sequences still write: the context of {} tokens is full", tokens,
                              plan_.sequences, engine_.context_tokens()),
                  "shorter lengths or fewer sequences fit");
    }
  }
  return seconds_since(begin);
}

SpeedSample EngineSubject::measure(uint32_t run, const Cancelled& cancelled) {
  const double reading = measure_reading(run, cancelled);
  return {reading, measure_writing(run, cancelled)};
}

double EngineSubject::measure_reading(uint32_t run, const Cancelled& cancelled) {
  return static_cast<double>(plan_.prompt_tokens) / read_seconds(prompt(0, plan_.prompt_tokens, run), cancelled);
}

double EngineSubject::measure_writing(uint32_t run, const Cancelled& cancelled) {
  return static_cast<double>(plan_.answer_tokens * plan_.sequences) / write_seconds(run, cancelled);
}

Speed speed_of(std::vector<SpeedSample> samples) {
  std::vector<double> reading, writing;
  for (const SpeedSample& sample : samples) {
    if (sample.reading > 0) reading.push_back(sample.reading);
    if (sample.writing > 0) writing.push_back(sample.writing);
  }
  return {std::move(samples), summarize(std::move(reading)), summarize(std::move(writing))};
}

std::vector<Speed> measure_speed(std::span<SpeedSubject* const> subjects, int repetitions, const Cancelled& cancelled,
                                 const std::function<void(int64_t done, int64_t total)>& step) {
  const int64_t total = static_cast<int64_t>(subjects.size()) * (repetitions + 1);
  int64_t done = 0;
  const auto told = [&] {
    if (step) step(done, total);
    ++done;
  };
  for (SpeedSubject* subject : subjects) {
    told();
    subject->warm_up(cancelled);
  }
  std::vector<std::vector<SpeedSample>> samples(subjects.size());
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      told();
      samples[i].push_back(subjects[i]->measure(static_cast<uint32_t>(repetition), cancelled));
    }
  }
  if (step) step(total, total);
  std::vector<Speed> speeds;
  speeds.reserve(samples.size());
  for (auto& own : samples) speeds.push_back(speed_of(std::move(own)));
  return speeds;
}

}  // namespace duet
