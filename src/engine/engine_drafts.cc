#include <algorithm>

#include "engine/engine_state.h"
#include "engine/sampler.h"
#include "ops/device.h"
#include "ops/rows.h"

namespace duet {

/// What draft_by_mtp() needs beside the trunk's step: the slots of all rows, then one for each further draft.
int64_t Engine::State::mtp_scratch_bytes(int64_t rows) const {
  if (options.speculation.drafter != Drafter::kMtp) return 0;
  const int64_t hidden = Arena::footprint_bytes(DType::kF32, {rows, decoder->spec().hidden_dim});
  return 2 * hidden + decoder->mtp_scratch_bytes(rows) +
         options.speculation.draft_tokens * (2 * hidden + decoder->mtp_scratch_bytes(std::min(rows, kHeadTileRows)));
}

/// What may follow the last token of an answer, to be confirmed with its row.
std::vector<TokenId> Engine::State::drafts_for(Running& r, int64_t step_rows) {
  const SpeculationOptions& speculation = options.speculation;
  const auto length = static_cast<int64_t>(r.tokens.size());
  int64_t most = std::min({speculation.draft_tokens, options.max_step_rows - step_rows - 1, context_tokens - length});
  if (r.request.max_new_tokens > 0) most = std::min(most, r.request.max_new_tokens - r.new_tokens - 1);
  if (most <= 0) return {};
  if (speculation.drafter == Drafter::kNgram) return ngram_draft(r.tokens, most);
  if (speculation.drafter == Drafter::kModel) {
    if (!r.drafter) r.drafter = std::make_unique<ModelDrafter>(speculation.model);
    return r.drafter->draft(r.tokens, r.request, most);
  }
  std::vector<TokenId> drafts = std::move(r.drafts);
  if (static_cast<int64_t>(drafts.size()) > most) drafts.resize(static_cast<size_t>(most));
  return drafts;
}

/// Runs the MTP head on the slots whose next tokens are known now, so that its keys and values follow the text, and
/// drafts what comes after. Slots before a reused state's end keep what an earlier text left there: a draft may be
/// worse for it, never the text.
void Engine::State::draft_by_mtp(Ctx& ctx, const Tensor& normed, std::span<Part> parts, bool wants_drafts) {
  std::vector<int32_t> chosen_rows, last_slots;
  StepRows slots;
  std::vector<Part*> live;
  for (Part& part : parts) {
    Running& r = *part.running;
    if (!r.state) continue;  // it has ended
    try {                    // forks may have come to share the page since the step began
      r.state->reserve(r.state->length_tokens() + options.speculation.draft_tokens);
    } catch (const Error&) {
      continue;  // no memory, no drafts
    }
    // The slot of a row needs the token behind it.
    const int64_t end = std::min(r.state->length_tokens(), static_cast<int64_t>(r.tokens.size()) - 1);
    if (end <= part.begin) continue;
    const std::span<const TokenId> next = std::span<const TokenId>(r.tokens).subspan(1);
    slots.add(*r.state, next, part.begin, end);
    for (int64_t i = part.begin; i < end; ++i) {
      chosen_rows.push_back(static_cast<int32_t>(part.first_row + i - part.begin));
    }
    last_slots.push_back(static_cast<int32_t>(slots.count() - 1));
    live.push_back(&part);
  }
  if (live.empty()) return;
  Tensor hidden = normed;
  if (slots.count() != normed.dim(0)) {
    hidden = ctx.scratch({slots.count(), normed.dim(1)});
    ops::select_rows(ctx, normed, chosen_rows, hidden);
  }
  Tensor y = decoder->forward_mtp(ctx, slots.batch(), hidden);
  if (!wants_drafts) return;

  // The drafts of all, one place after the other; those of a prompt that is not read yet are not wanted.
  std::vector<Part*> drafting;
  std::vector<int32_t> rows;
  for (size_t i = 0; i < live.size(); ++i) {
    live[i]->running->drafts.clear();
    if (live[i]->running->new_tokens == 0) continue;
    drafting.push_back(live[i]);
    rows.push_back(last_slots[i]);
  }
  if (drafting.empty() || static_cast<int64_t>(drafting.size()) > kHeadTileRows) return;
  const auto vocabulary = static_cast<size_t>(decoder->spec().vocabulary);
  std::vector<float> logits(drafting.size() * vocabulary);
  for (int64_t depth = 0; depth < options.speculation.draft_tokens; ++depth) {
    const int64_t mark = ctx.arena.mark();
    ops::download(ctx, decoder->head(ctx, y, rows), logits);
    ctx.arena.rewind(mark);
    StepRows deeper;
    for (size_t i = 0; i < drafting.size(); ++i) {
      Running& r = *drafting[i]->running;
      std::vector<TokenId> history = r.tokens;
      history.insert(history.end(), r.drafts.begin(), r.drafts.end());
      const auto row = std::span(logits).subspan(i * vocabulary, vocabulary);
      if (!all_finite(row)) return;  // no drafts; what is wrong shows where it counts
      r.drafts.push_back(draft_token(row, r.request, history));
      history.push_back(r.drafts.back());
      const auto slot = static_cast<int64_t>(history.size()) - 2;  // of the token before the draft
      deeper.add(*r.state, std::span<const TokenId>(history).subspan(1), slot, slot + 1);
    }
    if (depth + 1 == options.speculation.draft_tokens) break;
    const Tensor last = ctx.scratch({static_cast<int64_t>(drafting.size()), y.dim(1)});
    ops::select_rows(ctx, y, rows, last);
    y = decoder->forward_mtp(ctx, deeper.batch(), last);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  }
}

}  // namespace duet
