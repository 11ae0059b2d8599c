#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "engine/request.h"
#include "ops/context.h"
#include "state/sequence_state.h"

namespace duet {

class Decoder;

/// Where the tokens come from that the model only has to confirm.
enum class Drafter {
  kNone,
  kNgram,  // what followed the last place in the text that ends like it
  kMtp,    // the model's own head that predicts one token further
  kModel,  // another model with the same vocabulary
};

/// Speculation changes how fast a text comes, never the text: a draft is accepted iff it equals the model's own choice
/// at its place, greedy or sampled (docs/architecture.md).
struct SpeculationOptions {
  Drafter drafter = Drafter::kNone;
  int64_t draft_tokens = 4;              // of a step, at most DeltaView::kMaxDraftTokens
  std::shared_ptr<const Decoder> model;  // of kModel
  bool always = false;                   // go on even where it does not pay
};

/// Throws bad_value (a number of drafts out of range), unsupported_feature (no MTP head), incompatible vocabularies as
/// bad_value.
void check_speculation(const SpeculationOptions& options, const Decoder& decoder);

/// Up to `count` tokens: those that followed the last earlier place at which the text's last 3, or else 2, tokens
/// stand; none where there is no such place.
std::vector<TokenId> ngram_draft(std::span<const TokenId> tokens, int64_t count);

/// The token that a drafter's logits make of a place: chosen as the model's own would be, with the same noise, so that
/// equal logits give equal tokens.   logits [V], changed in place; history: the text with the drafts so far
TokenId draft_token(std::span<float> logits, const Request& request, std::span<const TokenId> history);

/// Another model that writes drafts for one sequence. Its state follows the text; drafts are written on a fork of it.
class ModelDrafter {
 public:
  explicit ModelDrafter(std::shared_ptr<const Decoder> decoder);
  /// Up to `count` drafts behind `tokens`, of which the last is not in the state yet. Throws out_of_memory.
  std::vector<TokenId> draft(std::span<const TokenId> tokens, const Request& request, int64_t count);

 private:
  /// Runs rows [state length, tokens.size()) and returns the logits of the last.
  std::vector<float> run(SequenceState& state, std::span<const TokenId> tokens);

  std::shared_ptr<const Decoder> decoder_;
  std::unique_ptr<SequenceState> state_;
  Arena arena_;
};

/// Whether drafting pays, by the time that tokens took: plain and drafting steps are compared now and then, and
/// drafting rests while plain steps are faster. Decides about time only: the text is the same either way.
class DraftPolicy {
 public:
  explicit DraftPolicy(bool always) : always_(always) {}
  bool wants_drafts() const;
  /// A step gave `tokens` in `seconds`.
  void on_step(bool drafted, int64_t tokens, double seconds);

 private:
  struct Rate {
    double tokens = 0, seconds = 0;
    void add(double new_tokens, double new_seconds);
    double per_token() const { return tokens > 0 ? seconds / tokens : 0; }
  };
  bool always_;
  Rate plain_, drafted_;
  int64_t step_ = 0, rests_until_ = 0;
};

}  // namespace duet
