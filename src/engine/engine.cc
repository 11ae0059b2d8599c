#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/check.h"
#include "engine/choice.h"
#include "engine/engine_state.h"
#include "engine/sampler.h"
#include "ops/device.h"

namespace duet {
Engine::Engine(std::shared_ptr<const Decoder> decoder, const EngineOptions& options)
    : state_(std::make_unique<State>()) {
  const int64_t own = decoder->spec().context_tokens;
  if (options.context_tokens < 0 || options.context_tokens > own) {
    fail(ErrorCode::kBadValue, "context size is {}, legal: 1 to the model's own {}", options.context_tokens, own);
  }
  state_->context_tokens = options.context_tokens == 0 ? own : options.context_tokens;
  check_speculation(options.speculation, *decoder);
  state_->options = options;
  state_->policy = DraftPolicy(options.speculation.always);
  state_->decoder = std::move(decoder);
}

Engine::~Engine() = default;
int64_t Engine::context_tokens() const { return state_->context_tokens; }
bool Engine::idle() const { return state_->running.empty(); }

void Engine::State::check_ids(std::span<const TokenId> ids) const {
  if (ids.empty()) fail(ErrorCode::kBadValue, "the prompt is empty: at least one token is needed");
  const int64_t vocabulary = decoder->spec().vocabulary;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (to_int(ids[i]) < 0 || to_int(ids[i]) >= vocabulary) {
      fail(ErrorCode::kBadValue, "token id {} at position {} is out of range, legal: 0 to {}", to_int(ids[i]), i,
           vocabulary - 1);
    }
  }
  if (static_cast<int64_t>(ids.size()) > context_tokens) {
    throw Error(ErrorCode::kContextOverflow,
                fmt::format("the prompt has {} tokens, the context holds {}", ids.size(), context_tokens),
                "shorten the prompt, or raise --ctx where the model allows it");
  }
}

RequestId Engine::submit(Request request) {
  State& s = *state_;
  s.check_ids(request.prompt);
  const int64_t vocabulary = s.decoder->spec().vocabulary;
  check_sampling(request.sampling, vocabulary);
  if (request.max_new_tokens < 0)
    fail(ErrorCode::kBadValue, "max_new_tokens is {}, legal: 0 (no limit) or more", request.max_new_tokens);
  if (request.logprobs < -1 || request.logprobs > vocabulary)
    fail(ErrorCode::kBadValue, "logprobs is {}, legal: -1 (none) to {}", request.logprobs, vocabulary);
  if (request.choice < 0) fail(ErrorCode::kBadValue, "choice is {}, legal: 0 or more", request.choice);
  if (static_cast<int64_t>(request.prompt.size()) >= s.context_tokens) {
    throw Error(ErrorCode::kContextOverflow,
                fmt::format("the prompt has {} tokens and the context holds {}: no room for an answer",
                            request.prompt.size(), s.context_tokens),
                "shorten the prompt or start a new conversation");
  }
  Running r;
  r.id = RequestId{s.next_id++};
  r.tokens = request.prompt;
  r.request = std::move(request);
  for (const Running& other : s.running) {
    if (!other.leader && other.new_tokens == 0 && other.tokens == r.tokens) r.leader = other.id;
  }
  if (!r.leader) s.begin(r);
  const RequestId id = r.id;
  s.running.push_back(std::move(r));
  return id;
}

/// Gives a request its state: that of the longest common prefix, but never of the last prompt token, whose row gives
/// the first logits.
void Engine::State::begin(Running& r) {
  r.state = cache.take(r.tokens, r.prompt_tokens() - 1);
  if (!r.state) r.state = std::make_unique<SequenceState>(device(), decoder->state_layout());
  r.reused_tokens = r.state->length_tokens();
}

/// A request is gone before its prompt was computed: the first of those that waited for it goes on with that.
void Engine::State::replace_leader(RequestId gone) {
  const Running* heir = nullptr;
  for (Running& r : running) {
    if (r.leader != gone) continue;
    if (heir != nullptr) {
      r.leader = heir->id;
      continue;
    }
    r.leader.reset();
    begin(r);
    heir = &r;
  }
}

void Engine::State::drop(RequestId id) {
  std::erase_if(running, [&](const Running& r) { return r.id == id; });
  replace_leader(id);
}

void Engine::cancel(RequestId id) {
  for (Running& r : state_->running) {
    if (r.id == id) r.cancelled = true;
  }
}

void Engine::State::finish(Running& r, FinishReason reason, TokenId stop, std::vector<EngineEvent>& events) {
  events.emplace_back(RequestFinished{r.id, reason, stop, r.prompt_tokens(), r.reused_tokens, r.new_tokens,
                                      r.drafted_tokens, r.accepted_tokens});
  cache.keep(std::move(r.tokens), std::move(r.state));
}

/// Goes on with what was chosen for a request after its last row. Returns whether the request goes on.
bool Engine::State::judge(Running& r, Choice choice, std::vector<EngineEvent>& events) {
  if (choice.error() == nullptr && r.request.guide) {
    try {
      r.request.guide->accept(std::get<TokenChosen>(choice.result).id);
    } catch (const Error& error) {
      choice.result = error;
    }
  }
  if (const Error* error = choice.error()) {
    events.emplace_back(RequestFailed{r.id, *error});
    return false;
  }
  auto& chosen = std::get<TokenChosen>(choice.result);
  const TokenId id = chosen.id;
  const auto& stops = r.request.stop_ids;
  if (!choice.forced && std::find(stops.begin(), stops.end(), id) != stops.end()) {
    finish(r, FinishReason::kStop, id, events);
    return false;
  }
  r.tokens.push_back(id);
  ++r.new_tokens;
  events.emplace_back(std::move(chosen));
  if (r.request.max_new_tokens > 0 && r.new_tokens >= r.request.max_new_tokens) {
    finish(r, FinishReason::kLength, TokenId{-1}, events);
    return false;
  }
  if (static_cast<int64_t>(r.tokens.size()) >= context_tokens) {
    finish(r, FinishReason::kContext, TokenId{-1}, events);
    return false;
  }
  return true;
}

bool Engine::State::has_followers(const Running& r) const {
  return std::any_of(running.begin(), running.end(), [&](const Running& one) { return one.leader == r.id; });
}

/// judge() for a request and, where its prompt has just been computed, for those that waited for it. `choice`: of the
/// request, where it was chosen already; then none waited.
void Engine::State::judge_all(Running& r, std::optional<Choice> choice, std::span<float> logits, const LogitScan& scan,
                              std::vector<EngineEvent>& events, std::vector<RequestId>& ended) {
  std::vector<Running*> all = {&r};
  for (Running& follower : running) {
    if (follower.leader != r.id) continue;
    follower.leader.reset();
    follower.state = r.state->fork();  // before the leader may end
    follower.reused_tokens = follower.prompt_tokens();
    all.push_back(&follower);
  }
  const std::vector<float> kept(logits.begin(), all.size() > 1 ? logits.end() : logits.begin());
  for (Running* one : all) {
    if (one != &r) std::copy(kept.begin(), kept.end(), logits.begin());
    if (!choice) {
      choice = begin_choice(*one, static_cast<int64_t>(logits.size()));
      choose(*one, logits, scan, *choice);
    }
    if (!judge(*one, *std::exchange(choice, std::nullopt), events)) ended.push_back(one->id);
  }
}

/// Judges row `row` of the last token and the drafts behind it: row i + 1 counts only where the model chose draft i.
void Engine::State::judge_part(Part& part, size_t row, std::optional<Choice> choice, std::span<float> logits,
                               const LogitScan& scan, std::vector<EngineEvent>& events, std::vector<RequestId>& ended) {
  Running& r = *part.running;
  if (part.stopped) return;
  if (row > 0) {
    ++r.accepted_tokens;
    r.state->advance_to(part.end + static_cast<int64_t>(row));
  }
  const size_t ended_before = ended.size();
  judge_all(r, std::move(choice), logits, scan, events, ended);
  const bool goes_on = std::find(ended.begin() + static_cast<int64_t>(ended_before), ended.end(), r.id) == ended.end();
  part.stopped = !goes_on || row == part.drafts.size() || r.tokens.back() != part.drafts[row];
}

std::vector<EngineEvent> Engine::step() {
  State& s = *state_;
  std::vector<EngineEvent> events;
  std::vector<RequestId> cancelled;
  for (Running& r : s.running) {
    if (!r.cancelled) continue;
    s.finish(r, FinishReason::kCancelled, TokenId{-1}, events);
    cancelled.push_back(r.id);
  }
  std::erase_if(s.running, [](const Running& r) { return r.cancelled; });
  for (const RequestId id : cancelled) s.replace_leader(id);

  // Schedule: requests in order of arrival, each with as many of its rows as fit. A request that gets no memory fails
  // alone.
  const auto begun = std::chrono::steady_clock::now();
  const SpeculationOptions& speculation = s.options.speculation;
  const bool speculates = speculation.drafter != Drafter::kNone, by_mtp = speculation.drafter == Drafter::kMtp;
  const bool wants_drafts = speculates && s.policy.wants_drafts();
  StepRows rows;
  std::vector<Part> parts;
  std::vector<RequestId> failed;
  int64_t head_rows = 0, drafted = 0, answers = 0;
  for (Running& r : s.running) {
    if (r.leader) continue;
    const int64_t begin = r.state->length_tokens(), all = static_cast<int64_t>(r.tokens.size());
    const int64_t end = std::min(all, begin + s.options.max_step_rows - rows.count());
    if (end <= begin) continue;
    Part part{&r, begin, end, rows.count(), {}};
    try {
      if (wants_drafts && r.new_tokens > 0 && end == all) part.drafts = s.drafts_for(r, rows.count() + end - begin - 1);
      const auto drafts = static_cast<int64_t>(part.drafts.size());
      r.state->reserve(end + drafts);
      const int64_t step_rows = rows.count() + end - begin + drafts;
      const int64_t tile = std::min<int64_t>(kHeadTileRows, head_rows + 1 + drafts);
      s.arena.reset(s.device(), s.decoder->scratch_bytes(step_rows, tile) + s.mtp_scratch_bytes(step_rows));
    } catch (const Error& error) {
      events.emplace_back(RequestFailed{r.id, error});
      failed.push_back(r.id);
      continue;
    }
    rows.add(*r.state, r.tokens, begin, end);
    rows.add_drafts(part.drafts);
    head_rows += 1 + static_cast<int64_t>(part.drafts.size());
    drafted += static_cast<int64_t>(part.drafts.size());
    r.drafted_tokens += static_cast<int64_t>(part.drafts.size());
    answers += r.new_tokens > 0;
    parts.push_back(std::move(part));
  }
  if (parts.empty()) {
    for (const RequestId id : failed) s.drop(id);
    return events;
  }

  Ctx ctx{s.decoder->backend(), s.arena};
  Tensor normed;
  try {
    normed = s.decoder->forward(ctx, rows.batch());
  } catch (const Error& error) {  // of the device, or of the disk that experts come from
    for (const Part& part : parts) {
      events.emplace_back(RequestFailed{part.running->id, error});
      failed.push_back(part.running->id);
    }
    for (const RequestId id : failed) s.drop(id);
    return events;
  }
  struct Wanted {
    Part* part;
    size_t row;  // 0 = the last token's, i = that of draft i - 1
  };
  std::vector<Wanted> wanted;
  for (Part& part : parts) {
    SequenceState& state = *part.running->state;
    // Where the next turn of a conversation, or another answer, is likely to go on.
    const bool crosses = part.end / kSnapshotTokens > state.length_tokens() / kSnapshotTokens;
    state.advance_to(part.end);
    if (crosses || part.end == part.running->prompt_tokens()) state.snapshot();
    const auto all = static_cast<int64_t>(part.running->tokens.size());
    if (part.running->new_tokens == 0)
      events.emplace_back(PromptProgress{part.running->id, std::min(part.end, all), all});
    for (size_t row = 0; part.end == all && row <= part.drafts.size(); ++row) wanted.push_back({&part, row});
  }
  const int64_t vocabulary = s.decoder->spec().vocabulary;
  const int64_t mark = s.arena.mark();
  for (size_t first = 0; first < wanted.size(); first += static_cast<size_t>(kHeadTileRows)) {
    const size_t count = std::min(wanted.size() - first, static_cast<size_t>(kHeadTileRows));
    std::vector<int32_t> selected;
    for (size_t i = 0; i < count; ++i) {
      const Part& part = *wanted[first + i].part;
      const int64_t last = part.first_row + part.end - part.begin - 1;
      selected.push_back(static_cast<int32_t>(last + static_cast<int64_t>(wanted[first + i].row)));
    }
    s.arena.rewind(mark);
    const Tensor tile = s.decoder->head(ctx, normed, selected);
    const std::span<float> logits = ops::on_host(ctx, tile, s.step_logits);
    const auto logits_of = [&](size_t i) {
      return logits.subspan(i * static_cast<size_t>(vocabulary), static_cast<size_t>(vocabulary));
    };
    // What comes behind a draft depends on whether it counts, and of those that wait for a prompt each wants the logits
    // as they are: all others are chosen at once.
    std::vector<std::optional<Choice>> choices(count);
    std::vector<LogitScan> scans(count, LogitScan(static_cast<size_t>(vocabulary)));
    for (size_t i = 0; i < count; ++i) {
      const auto& [part, row] = wanted[first + i];
      if (row == 0 && !s.has_followers(*part->running)) choices[i] = begin_choice(*part->running, vocabulary);
    }
    // Of all rows the first parts first: threads share them as they shared the head's columns.
    constexpr size_t kParts = 8;
    ops::on_threads(ctx, static_cast<int64_t>(kParts * count), [&](int64_t item) {
      const size_t i = static_cast<size_t>(item) % count;
      scans[i].scan(logits_of(i), static_cast<size_t>(item) / count, kParts);
    });
    ops::on_threads(ctx, static_cast<int64_t>(count), [&](int64_t item) {
      const auto i = static_cast<size_t>(item);
      if (choices[i]) choose(*wanted[first + i].part->running, logits_of(i), scans[i], *choices[i]);
    });
    for (size_t i = 0; i < count; ++i) {
      s.judge_part(*wanted[first + i].part, wanted[first + i].row, std::move(choices[i]), logits_of(i), scans[i],
                   events, failed);
    }
  }
  s.arena.rewind(mark);
  try {
    if (by_mtp) s.draft_by_mtp(ctx, normed, parts, s.policy.wants_drafts());
  } catch (const Error&) {  // no drafts: the head alone could not be computed, and the text does not depend on it
    for (const Part& part : parts) part.running->drafts.clear();
  }
  for (const RequestId id : failed) s.drop(id);
  if (speculates && answers == static_cast<int64_t>(parts.size())) {  // a step without a prompt
    const auto chosen = std::count_if(events.begin(), events.end(), [](const EngineEvent& event) {
      return std::holds_alternative<TokenChosen>(event);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
    s.policy.on_step(drafted > 0, chosen, seconds.count());
  }
  return events;
}

/// Logits of the rows of `normed` that `wants` names (of rows of the step), a tile at a time.
void Engine::State::head_rows(Ctx& ctx, const Tensor& normed, int64_t first, const std::function<bool(int64_t)>& wants,
                              const RowSink& sink) {
  const auto vocabulary = static_cast<size_t>(decoder->spec().vocabulary);
  std::vector<float> values;
  std::vector<int32_t> selected;
  const int64_t mark = ctx.arena.mark(), rows = normed.dim(0);
  for (int64_t row = 0; row < rows; ++row) {
    if (wants(first + row)) selected.push_back(static_cast<int32_t>(row));
    const bool full = static_cast<int64_t>(selected.size()) == kHeadTileRows;
    if (selected.empty() || (!full && row + 1 < rows)) continue;
    ctx.arena.rewind(mark);
    const Tensor tile = decoder->head(ctx, normed, selected);
    values.resize(static_cast<size_t>(tile.elements()));
    ops::download(ctx, tile, values);
    for (size_t i = 0; i < selected.size(); ++i) {
      const auto logits = std::span<const float>(values).subspan(i * vocabulary, vocabulary);
      if (!all_finite(logits)) throw non_finite("logits", first + selected[i]);
      sink(first + selected[i], 1, logits);
    }
    selected.clear();
  }
  ctx.arena.rewind(mark);
}

void Engine::score(std::span<const TokenId> ids, const RowSink& sink, const HiddenRowSink& hidden,
                   const std::function<bool(int64_t)>& wants_row, const RowSink& mtp) {
  State& s = *state_;
  s.check_ids(ids);
  if (mtp && !s.decoder->has_mtp()) {
    throw Error(ErrorCode::kUnsupportedFeature, "the model has no MTP head, or it was not loaded",
                "Qwen3-Next and Qwen3.5 checkpoints have one, unless they were saved without it");
  }
  const auto layers = static_cast<int64_t>(s.decoder->spec().layers.size()), count = static_cast<int64_t>(ids.size());
  SequenceState state(s.device(), s.decoder->state_layout());
  std::vector<float> values;
  TokenId after_last{};
  for (int64_t begin = 0; begin < count;) {
    const int64_t end = std::min(count, begin + s.options.max_step_rows);
    state.reserve(end);
    s.arena.reset(s.device(), s.decoder->scratch_bytes(end - begin, kHeadTileRows) +
                                  (mtp ? s.decoder->mtp_scratch_bytes(end - begin) : 0));
    Ctx ctx{s.decoder->backend(), s.arena};
    StepRows rows;
    rows.add(state, ids, begin, end);
    const auto hand_out = [&](int64_t index, const Tensor& x) {
      values.resize(static_cast<size_t>(x.elements()));
      ops::download(ctx, x, values);
      if (!all_finite(values)) throw non_finite("hidden states", begin);
      hidden(index, begin, x.dim(0), values);
    };
    const Tensor normed = s.decoder->forward(ctx, rows.batch(), hidden ? HiddenSink(hand_out) : HiddenSink());
    if (hidden) hand_out(layers + 1, normed);
    state.advance_to(end);

    const auto wants = [&](int64_t position) { return !wants_row || wants_row(position); };
    s.head_rows(
        ctx, normed, begin, [&](int64_t position) { return wants(position) || (mtp && position + 1 == count); },
        [&](int64_t position, int64_t one, std::span<const float> logits) {
          if (mtp && position + 1 == count) after_last = argmax(logits);
          if (wants(position)) sink(position, one, logits);
        });
    if (mtp) {
      for (size_t i = 0; i < rows.ids.size(); ++i) {
        const auto next = static_cast<size_t>(begin) + i + 1;
        rows.ids[i] = to_int(next < ids.size() ? ids[next] : after_last);
      }
      s.head_rows(ctx, s.decoder->forward_mtp(ctx, rows.batch(), normed), begin, wants, mtp);
    }
    begin = end;
  }
}

int64_t Engine::save_state(OutputFile& file, const StateFields& fields) {
  const State& s = *state_;
  const StateCache::Entry* const kept = s.cache.newest();
  if (kept == nullptr) fail(ErrorCode::kNotFound, "there is no state to save: no request has finished");
  write_state(file, s.state_fields(fields), kept->tokens, s.device(), s.decoder->state_layout(), *kept->state);
  return kept->state->length_tokens();
}

int64_t Engine::load_state(const std::filesystem::path& path, const StateFields& fields) {
  State& s = *state_;
  SavedState stored = read_state(*open_file(path), s.state_fields(fields), s.device(), s.decoder->state_layout(),
                                 {.vocabulary = s.decoder->spec().vocabulary, .context_tokens = s.context_tokens});
  const int64_t tokens = stored.state->length_tokens();
  s.cache.keep(std::move(stored.tokens), std::move(stored.state));
  return tokens;
}

StateFields Engine::State::state_fields(StateFields fields) const {
  fields.emplace_back("arithmetic", ops::arithmetic_of(decoder->backend()));
  return fields;
}

}  // namespace duet
