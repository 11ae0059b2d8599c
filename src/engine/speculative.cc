#include "engine/speculative.h"

#include <algorithm>

#include "backend/types.h"
#include "base/error.h"
#include "engine/sampler.h"
#include "model/decoder.h"
#include "ops/device.h"

namespace duet {
namespace {

constexpr size_t kLongestGram = 3, kShortestGram = 2;
constexpr int64_t kDraftStepRows = 256;  // of the other model's prompt at once

// Every kPeriod steps the first kPlainSteps are plain; a rest lasts a period; the first drafting steps after it judge.
constexpr int64_t kPeriod = 64, kPlainSteps = 2, kTrialSteps = 8;
constexpr double kForget = 0.9;  // weight of what was seen a step before

}  // namespace

void check_speculation(const SpeculationOptions& options, const Decoder& decoder) {
  if (options.drafter == Drafter::kNone) return;
  if (options.draft_tokens < 1 || options.draft_tokens > DeltaView::kMaxDraftTokens) {
    fail(ErrorCode::kBadValue, "draft tokens are {}, legal: 1 to {}", options.draft_tokens, DeltaView::kMaxDraftTokens);
  }
  if (options.drafter == Drafter::kMtp && !decoder.has_mtp()) {
    throw Error(ErrorCode::kUnsupportedFeature, "speculation by the MTP head: the model has none",
                "Qwen3-Next and Qwen3.5 checkpoints have one, unless they were saved without it; ngram works with all");
  }
  if (options.drafter == Drafter::kModel && options.model->spec().vocabulary != decoder.spec().vocabulary) {
    fail(ErrorCode::kBadValue, "the draft model has {} tokens, the model {}: they must have one vocabulary",
         options.model->spec().vocabulary, decoder.spec().vocabulary);
  }
}

std::vector<TokenId> ngram_draft(std::span<const TokenId> tokens, int64_t count) {
  for (size_t gram = kLongestGram; gram >= kShortestGram; --gram) {
    if (tokens.size() <= gram) continue;
    const auto suffix = tokens.last(gram);
    const auto earlier = tokens.first(tokens.size() - 1);
    const auto found = std::find_end(earlier.begin(), earlier.end(), suffix.begin(), suffix.end());
    if (found == earlier.end()) continue;
    const auto follows = tokens.subspan(static_cast<size_t>(found - earlier.begin()) + gram);
    const size_t taken = std::min(follows.size(), static_cast<size_t>(count));
    return {follows.begin(), follows.begin() + static_cast<int64_t>(taken)};
  }
  return {};
}

TokenId draft_token(std::span<float> logits, const Request& request, std::span<const TokenId> history) {
  return sample(logits, request.sampling,
                {.history = history,
                 .prompt_tokens = static_cast<int64_t>(request.prompt.size()),
                 .position = static_cast<int64_t>(history.size()),
                 .choice = request.choice});
}

ModelDrafter::ModelDrafter(std::shared_ptr<const Decoder> decoder) : decoder_(std::move(decoder)) {
  state_ = std::make_unique<SequenceState>(ops::device_of(decoder_->backend()), decoder_->state_layout());
}

std::vector<float> ModelDrafter::run(SequenceState& state, std::span<const TokenId> tokens) {
  const auto all = static_cast<int64_t>(tokens.size());
  std::vector<float> logits(static_cast<size_t>(decoder_->spec().vocabulary));
  while (state.length_tokens() < all) {
    const int64_t begin = state.length_tokens(), end = std::min(all, begin + kDraftStepRows);
    state.reserve(end);
    arena_.reset(ops::device_of(decoder_->backend()), decoder_->scratch_bytes(end - begin, 1));
    Ctx ctx{decoder_->backend(), arena_};
    std::vector<int32_t> ids, positions;
    for (int64_t i = begin; i < end; ++i) {
      ids.push_back(to_int(tokens[static_cast<size_t>(i)]));
      positions.push_back(static_cast<int32_t>(i));
    }
    const std::vector<int32_t> sequence(ids.size(), 0);
    const auto certain_end = static_cast<int32_t>(end);
    SequenceState* const states[] = {&state};
    const Tensor normed = decoder_->forward(ctx, {ids, positions, sequence, states, {&certain_end, 1}});
    state.advance_to(end);
    if (end < all) continue;
    const auto last = static_cast<int32_t>(end - begin - 1);
    ops::download(ctx, decoder_->head(ctx, normed, {&last, 1}), logits);
  }
  return logits;
}

std::vector<TokenId> ModelDrafter::draft(std::span<const TokenId> tokens, const Request& request, int64_t count) {
  if (static_cast<int64_t>(tokens.size()) + count > decoder_->spec().context_tokens) return {};
  // The text only grows: what the state holds is always a part of it.
  std::vector<float> logits = run(*state_, tokens);
  const auto scratch = state_->fork();
  std::vector<TokenId> history(tokens.begin(), tokens.end()), drafts;
  while (static_cast<int64_t>(drafts.size()) < count) {
    drafts.push_back(draft_token(logits, request, history));
    history.push_back(drafts.back());
    if (static_cast<int64_t>(drafts.size()) < count) logits = run(*scratch, history);
  }
  return drafts;
}

void DraftPolicy::Rate::add(double new_tokens, double new_seconds) {
  tokens = tokens * kForget + new_tokens;
  seconds = seconds * kForget + new_seconds;
}

bool DraftPolicy::wants_drafts() const { return always_ || (step_ >= rests_until_ && step_ % kPeriod >= kPlainSteps); }

void DraftPolicy::on_step(bool drafted, int64_t tokens, double seconds) {
  (drafted ? drafted_ : plain_).add(static_cast<double>(tokens), seconds);
  ++step_;
  const bool judges = drafted && step_ % kPeriod >= kPlainSteps + kTrialSteps;
  if (judges && plain_.per_token() > 0 && drafted_.per_token() > plain_.per_token()) {
    rests_until_ = (step_ / kPeriod + 1) * kPeriod;
    drafted_ = {};
  }
}

}  // namespace duet
