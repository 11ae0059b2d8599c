#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/logit_scan.h"
#include "engine/speculative.h"
#include "engine/state_cache.h"
#include "model/decoder.h"
#include "ops/context.h"
#include "ops/device.h"

// Inside Engine: shared by engine.cc (requests, steps, scores) and engine_drafts.cc (where drafts come from).

namespace duet {

/// A request in flight: what it asked for, what it has, and how far its state is.
struct Running {
  RequestId id;
  Request request;
  std::vector<TokenId> tokens;  // prompt, then answer
  std::unique_ptr<SequenceState> state;
  int64_t reused_tokens = 0;
  int64_t new_tokens = 0;
  bool cancelled = false;
  std::vector<TokenId> drafts;            // for the next step, of the MTP head
  std::unique_ptr<ModelDrafter> drafter;  // with Drafter::kModel
  int64_t drafted_tokens = 0, accepted_tokens = 0;
  std::optional<RequestId> leader;  // computes the same prompt: this one waits, without a state, and forks its state
  int64_t prompt_tokens() const { return static_cast<int64_t>(request.prompt.size()); }
};

/// The rows of one step, host side, in the form that Batch points into.
struct StepRows {
  std::vector<int32_t> ids, positions, sequence, certain_end;
  std::vector<SequenceState*> states;

  void add(SequenceState& state, std::span<const TokenId> tokens, int64_t begin, int64_t end) {
    const auto index = static_cast<int32_t>(states.size());
    states.push_back(&state);
    certain_end.push_back(static_cast<int32_t>(end));
    for (int64_t i = begin; i < end; ++i) {
      ids.push_back(to_int(tokens[static_cast<size_t>(i)]));
      positions.push_back(static_cast<int32_t>(i));
      sequence.push_back(index);
    }
  }
  /// Rows of tokens behind the last sequence's that may turn out wrong.
  void add_drafts(std::span<const TokenId> drafts) {
    for (const TokenId id : drafts) {
      ids.push_back(to_int(id));
      positions.push_back(positions.back() + 1);
      sequence.push_back(sequence.back());
    }
  }
  int64_t count() const { return static_cast<int64_t>(ids.size()); }
  Batch batch() const { return {ids, positions, sequence, states, certain_end}; }
};

/// A request's rows in a step.
struct Part {
  Running* running;
  int64_t begin;      // position of the first
  int64_t end;        // behind the last that is certain
  int64_t first_row;  // in the batch
  std::vector<TokenId> drafts;
  bool stopped = false;  // no further row of it is judged
};

struct Choice;

/// All that an engine holds. Members are commented where they are defined.
struct Engine::State {
  std::shared_ptr<const Decoder> decoder;
  EngineOptions options;
  int64_t context_tokens = 0;
  Arena arena;
  std::deque<Running> running;
  StateCache cache;
  int64_t next_id = 1;
  DraftPolicy policy{false};
  std::vector<float> step_logits;  // kept, for its pages cost a step of several sequences 3 % if they are new each time

  Device& device() const { return ops::device_of(decoder->backend()); }
  StateFields state_fields(StateFields fields) const;
  void check_ids(std::span<const TokenId> ids) const;
  int64_t mtp_scratch_bytes(int64_t rows) const;
  void head_rows(Ctx& ctx, const Tensor& normed, int64_t first, const std::function<bool(int64_t position)>& wants,
                 const RowSink& sink);
  void begin(Running& r);
  void replace_leader(RequestId gone);
  void drop(RequestId id);
  void finish(Running& r, FinishReason reason, TokenId stop, std::vector<EngineEvent>& events);
  bool judge(Running& r, Choice choice, std::vector<EngineEvent>& events);
  bool has_followers(const Running& r) const;
  std::vector<TokenId> drafts_for(Running& r, int64_t step_rows);
  void judge_part(Part& part, size_t row, std::optional<Choice> choice, std::span<float> logits, const LogitScan& scan,
                  std::vector<EngineEvent>& events, std::vector<RequestId>& ended);
  void draft_by_mtp(Ctx& ctx, const Tensor& normed, std::span<Part> parts, bool wants_drafts);
  void judge_all(Running& r, std::optional<Choice> choice, std::span<float> logits, const LogitScan& scan,
                 std::vector<EngineEvent>& events, std::vector<RequestId>& ended);
};

}  // namespace duet
