#include "chat/generate.h"

#include <chrono>
#include <optional>

#include "chat/thought_budget.h"
#include "engine/engine.h"

namespace duet {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

/// Turns the engine's events of one request into the reader's.
class Translation {
 public:
  Translation(const Tokenizer& tokenizer, const GenerateRequest& request, const EventSink& sink)
      : stream_(tokenizer, request.stop_strings, request.thought), sink_(sink) {}

  bool ended() const { return ended_; }
  bool stopped_by_string() const { return stream_.stopped_by() != nullptr; }

  void operator()(const PromptProgress& progress) { sink_(progress); }

  void operator()(const TokenChosen& chosen) {
    const auto now = Clock::now();
    if (!first_token_) first_token_ = now;
    last_token_ = now;
    if (stopped_by_string()) return;  // chosen in the same step as the end
    finished_.ids.push_back(chosen.id);
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

  void operator()(const RequestFailed& failed) { fail_with(failed.error); }

  void fail_with(const Error& error) {
    ended_ = true;
    sink_(Failed{error});
  }

 private:
  void send(AnswerStream::Piece piece) {
    if (!piece.reasoning.empty()) sink_(ReasoningDelta{std::move(piece.reasoning)});
    if (!piece.answer.empty()) sink_(TextDelta{std::move(piece.answer)});
  }

  AnswerStream stream_;
  const EventSink& sink_;
  Finished finished_;
  Clock::time_point begin_ = Clock::now();
  std::optional<Clock::time_point> first_token_, last_token_;
  bool ended_ = false;
};

/// Takes a request out of the engine whatever happens, so that the next one starts from a clean engine.
class Submission {
 public:
  Submission(Engine& engine, RequestId id) : engine_(engine), id_(id) {}
  Submission(const Submission&) = delete;
  Submission& operator=(const Submission&) = delete;
  ~Submission() {
    if (done_) return;
    try {
      engine_.cancel(id_);
      engine_.step();
    } catch (...) {  // the first error is the one to report
    }
  }
  void done() { done_ = true; }

 private:
  Engine& engine_;
  RequestId id_;
  bool done_ = false;
};

/// Closes a thought at its limit; nullptr: there is none.
std::shared_ptr<TokenGuide> thought_guide(const Tokenizer& tokenizer, const std::optional<ThoughtRules>& thought) {
  if (!thought || !thought->max_tokens) return nullptr;
  return std::make_shared<ThoughtBudget>(tokenizer, thought->in_thought, *thought->max_tokens);
}

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
  std::optional<Translation> translation;
  RequestId id{};
  try {
    translation.emplace(tokenizer, request, sink);
    id = engine.submit({.prompt = request.prompt,
                        .sampling = request.sampling,
                        .max_new_tokens = request.max_new_tokens,
                        .stop_ids = request.stop_ids,
                        .guide = thought_guide(tokenizer, request.thought)});
  } catch (const Error& error) {
    sink(Failed{error});
    return;
  }
  Submission submission(engine, id);
  while (!translation->ended()) {
    if (cancel.load(std::memory_order_relaxed) || translation->stopped_by_string()) engine.cancel(id);
    for (const EngineEvent& event : engine.step()) {
      const bool ours = std::visit([&](const auto& e) { return e.request == id; }, event);
      if (ours) std::visit(*translation, event);
    }
  }
  submission.done();
}

}  // namespace duet
