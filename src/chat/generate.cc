#include "chat/generate.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "engine/engine.h"

namespace duet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

/// Turns the engine's events of one answer into the reader's.
class Answer {
 public:
  Answer(const Tokenizer& tokenizer, const GenerateRequest& request, int32_t choice, const EventSink& sink)
      : stream_(tokenizer, request.stop_strings, request.thought), logprobs_(request.logprobs >= 0), sink_(sink) {
    finished_.choice = choice;
  }

  bool ended() const { return ended_; }
  bool stopped_by_string() const { return stream_.stopped_by() != nullptr; }

  void operator()(const PromptProgress& progress) { sink_(progress); }

  void operator()(const TokenChosen& chosen) {
    const auto now = Clock::now();
    if (!first_token_) first_token_ = now;
    last_token_ = now;
    if (stopped_by_string()) return;  // chosen in the same step as the end
    finished_.ids.push_back(chosen.id);
    if (logprobs_) sink_(Logprobs{chosen, finished_.choice});
    send(stream_.push(chosen.id));
  }

  void operator()(const RequestFinished& end) {
    const auto now = Clock::now();
    send(stream_.finish());
    finished_.reason = end.reason;
    if (const std::string* stop = stream_.stopped_by()) {
      finished_.reason = FinishReason::kStop;
      finished_.stop_string = *stop;
    }
    finished_.prompt_tokens = end.prompt_tokens;
    finished_.reused_tokens = end.reused_tokens;
    finished_.new_tokens = static_cast<int64_t>(finished_.ids.size());
    finished_.drafted_tokens = end.drafted_tokens;
    finished_.accepted_tokens = end.accepted_tokens;
    finished_.thought_tokens = stream_.thought_tokens();
    // An end token costs a step as well, though it is no part of the answer.
    const bool end_token = end.reason == FinishReason::kStop;
    const auto prompt_end = first_token_.value_or(now);
    finished_.prompt_seconds = seconds(prompt_end - begin_);
    finished_.answer_steps = finished_.new_tokens - 1 + (end_token ? 1 : 0);
    if (!first_token_ || finished_.answer_steps < 0) finished_.answer_steps = 0;
    finished_.answer_seconds = seconds((end_token ? now : last_token_.value_or(now)) - prompt_end);
    ended_ = true;
    sink_(finished_);
  }

  void operator()(const RequestFailed& failed) {
    failure_ = failed.error;
    ended_ = true;
  }
  const std::optional<Error>& failure() const { return failure_; }

 private:
  void send(AnswerStream::Piece piece) {
    if (!piece.reasoning.empty()) sink_(ReasoningDelta{std::move(piece.reasoning), finished_.choice});
    if (!piece.answer.empty()) sink_(TextDelta{std::move(piece.answer), finished_.choice});
  }

  AnswerStream stream_;
  bool logprobs_;
  const EventSink& sink_;
  Finished finished_;
  Clock::time_point begin_ = Clock::now();
  std::optional<Clock::time_point> first_token_, last_token_;
  std::optional<Error> failure_;
  bool ended_ = false;
};

/// The answers of one request. Takes them out of the engine whatever happens, so that the next request starts from a
/// clean engine.
class Answers {
 public:
  explicit Answers(Engine& engine) : engine_(engine) {}
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;
  ~Answers() {
    try {
      cancel();
      if (running() > 0) engine_.step();
    } catch (...) {  // the first error is the one to report
    }
  }

  /// Throws what Engine::submit throws, and bad_value for a number of choices or stop strings.
  void begin(const Tokenizer& tokenizer, const GenerateRequest& request, const EventSink& sink) {
    if (request.choices < 1 || request.choices > GenerateRequest::kMaxChoices) {
      fail(ErrorCode::kBadValue, "choices is {}, legal: 1 to {}", request.choices, GenerateRequest::kMaxChoices);
    }
    const SamplingParams sampling = resolve_texts(tokenizer, request.sampling_texts, request.sampling);
    for (int32_t choice = 0; choice < request.choices; ++choice) {
      auto answer = std::make_unique<Answer>(tokenizer, request, choice, sink);
      const RequestId id = engine_.submit({.prompt = request.prompt,
                                           .sampling = sampling,
                                           .choice = choice,
                                           .max_new_tokens = request.max_new_tokens,
                                           .stop_ids = request.stop_ids,
                                           .logprobs = request.logprobs,
                                           .guide = request.make_guide ? request.make_guide(choice) : nullptr});
      answers_.push_back({id, std::move(answer)});
    }
  }

  int64_t running() const {
    return std::count_if(answers_.begin(), answers_.end(), [](const Entry& e) { return !e.answer->ended(); });
  }
  void cancel() {
    for (const Entry& e : answers_) {
      if (!e.answer->ended()) engine_.cancel(e.id);
    }
  }
  /// One step of the engine, and what came of it. Throws what the sink throws.
  void step() {
    for (const Entry& e : answers_) {
      if (!e.answer->ended() && e.answer->stopped_by_string()) engine_.cancel(e.id);
    }
    for (const EngineEvent& event : engine_.step()) {
      const RequestId id = std::visit([](const auto& e) { return e.request; }, event);
      const auto entry = std::find_if(answers_.begin(), answers_.end(), [&](const Entry& e) { return e.id == id; });
      if (entry != answers_.end()) std::visit(*entry->answer, event);
    }
  }
  /// What an answer failed with.
  std::optional<Error> failure() const {
    for (const Entry& e : answers_) {
      if (e.answer->failure()) return e.answer->failure();
    }
    return std::nullopt;
  }

 private:
  struct Entry {
    RequestId id;
    std::unique_ptr<Answer> answer;
  };
  Engine& engine_;
  std::vector<Entry> answers_;
};

}  // namespace

AnswerStream::AnswerStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                           const std::optional<ThoughtRules>& thought)
    : detokenizer_(tokenizer, /*skip_special=*/true), stops_(std::move(stop_strings)) {
  if (thought) thought_.emplace(thought->in_thought);
}

AnswerStream::Piece AnswerStream::push(TokenId id) {
  std::string text = detokenizer_.push(id);
  ++pushed_tokens_;
  if (!thought_) return {{}, stops_.push(text)};
  const bool before = !thought_->answering();
  Piece piece = thought_->push(text);
  if (thought_->in_thought() || (before && thought_->thought())) thought_tokens_ = pushed_tokens_;
  piece.answer = stops_.push(piece.answer);
  return piece;
}

AnswerStream::Piece AnswerStream::finish() {
  if (stops_.found() != nullptr) return {};
  const std::string text = detokenizer_.finish();
  Piece piece{{}, text};
  if (thought_) {
    piece = thought_->push(text);
    const Piece rest = thought_->finish();
    piece.reasoning += rest.reasoning;
    piece.answer += rest.answer;
  }
  piece.answer = stops_.push(piece.answer);
  if (stops_.found() == nullptr) piece.answer += stops_.finish();
  return piece;
}

void generate(Engine& engine, const Tokenizer& tokenizer, const GenerateRequest& request,
              const std::atomic<bool>& cancel, const EventSink& sink) {
  Answers answers(engine);
  try {
    answers.begin(tokenizer, request, sink);
  } catch (const Error& error) {
    sink(Failed{error});
    return;
  }
  while (answers.running() > 0) {
    if (cancel.load(std::memory_order_relaxed)) answers.cancel();
    answers.step();
    if (const auto error = answers.failure()) return sink(Failed{*error});
  }
}

}  // namespace duet
