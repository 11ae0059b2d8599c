// States that go through a file (state/state_file.h): what comes after is bit for bit what would have come.
#include <gtest/gtest.h>

#include <numeric>

#include "engine/engine_state.h"
#include "state/state_file.h"
#include "tests/compare.h"
#include "tests/law_models.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

/// Runs rows [begin, end) of one sequence through trunk and, where there is one, MTP head, as the engine does. Returns
/// the logits of all of them.
std::vector<float> run_rows(const Decoder& decoder, SequenceState& state, std::span<const TokenId> ids, int64_t begin,
                            int64_t end) {
  Arena arena;
  std::vector<float> logits;
  for (int64_t at = begin; at < end; at += kHeadTileRows) {
    const int64_t last = std::min(end, at + kHeadTileRows);
    const bool mtp = decoder.has_mtp();
    state.reserve(last);
    arena.reset(ops::device_of(decoder.backend()),
                2 * decoder.scratch_bytes(last - at, last - at) + (mtp ? decoder.mtp_scratch_bytes(last - at) : 0));
    Ctx ctx{decoder.backend(), arena};
    StepRows rows;
    rows.add(state, ids, at, last);
    const Tensor normed = decoder.forward(ctx, rows.batch());
    state.advance_to(last);
    std::vector<int32_t> all(static_cast<size_t>(last - at));
    std::iota(all.begin(), all.end(), 0);
    const auto take = [&](const Tensor& x) {
      const Tensor head = decoder.head(ctx, x, all);
      const size_t before = logits.size();
      logits.resize(before + static_cast<size_t>(head.elements()));
      ops::download(ctx, head, std::span(logits).subspan(before));
    };
    take(normed);
    if (!mtp) continue;
    StepRows slots;  // the next token of each; which ones does not matter here
    slots.add(state, ids, at, last);
    take(decoder.forward_mtp(ctx, slots.batch(), normed));
  }
  return logits;
}

class StateFileLaw : public testing::TestWithParam<const char*> {
 protected:
  /// std::nullopt: the model's heads cannot have this type.
  std::optional<std::unique_ptr<TestModel>> load(Runtime& runtime, const char* backend, DType kv_type) {
    try {
      return load_model(golden(GetParam()), runtime, backend, {.mtp = true, .kv_type = kv_type});
    } catch (const Error& error) {
      EXPECT_EQ(kv_type, DType::kQ8_0);  // heads that are no multiple of 32
      EXPECT_EQ(error.code(), ErrorCode::kUnsupportedFeature);
      return std::nullopt;
    }
  }
  const fs::path file_ = temporary_folder() / "a.state";
  const StateFields fields_ = {{"model hash", "1"}};
};

TEST_P(StateFileLaw, LogitsGoOnBitForBit) {
  for (const char* backend : {"cpu", "ref", "deferred"}) {
    const bool slow = std::string_view(backend) != "cpu";
    for (const DType type : {DType::kF32, DType::kBF16, DType::kF16, DType::kQ8_0}) {
      if (slow && type != DType::kF32 && type != DType::kQ8_0) continue;
      Runtime runtime(2);
      const auto model = load(runtime, backend, type);
      if (!model) continue;
      const Decoder& decoder = *(*model)->decoder;
      Device& device = ops::device_of(decoder.backend());
      const auto ids = law_prompt(slow ? 72 : 150, decoder.spec().vocabulary, 7);
      const auto count = static_cast<int64_t>(ids.size());
      SequenceState once(device, decoder.state_layout());
      const std::vector<float> whole = slow ? std::vector<float>() : run_rows(decoder, once, ids, 0, count);
      // Around pages, chunks of DeltaNet, and the chunks and windows of the small models.
      for (const int64_t cut : {1, 15, 16, 17, 31, 33, 47, 63, 64, 65, 79, 127, 128, 129, 149}) {
        if (slow && cut != 17 && cut != 65) continue;
        SCOPED_TRACE(testing::Message() << backend << " " << dtype_info(type).name << " cut at " << cut);
        SequenceState state(device, decoder.state_layout());
        run_rows(decoder, state, ids, 0, cut);
        OutputFile file(file_);
        write_state(file, fields_, ids, device, decoder.state_layout(), state);
        file.commit();
        const SavedState saved = read_state(*open_file(file_), fields_, device, decoder.state_layout(),
                                            {.vocabulary = decoder.spec().vocabulary, .context_tokens = count});
        EXPECT_EQ(saved.tokens, ids);
        ASSERT_EQ(saved.state->length_tokens(), cut);
        const std::vector<float> wanted = run_rows(decoder, state, ids, cut, count);
        EXPECT_TRUE(same_bits(run_rows(decoder, *saved.state, ids, cut, count), wanted));
        if (slow || decoder.has_mtp()) continue;  // whose rows stand between the trunk's
        const size_t row = whole.size() / ids.size();
        EXPECT_TRUE(same_bits(wanted, std::span(whole).subspan(static_cast<size_t>(cut) * row)));
      }
    }
  }
}

/// A request's tokens, and how many of its prompt were there already.
struct Text {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;  // of every token of the vocabulary, in each place
  int64_t reused_tokens = 0;
};
Text answer(Engine& engine, const std::vector<TokenId>& prompt, int64_t vocabulary) {
  engine.submit({.prompt = prompt, .max_new_tokens = 10, .logprobs = vocabulary});
  Text text;
  while (!engine.idle()) {
    for (const EngineEvent& event : engine.step()) {
      if (const auto* chosen = std::get_if<TokenChosen>(&event)) {
        text.ids.push_back(chosen->id);
        for (const TokenLogprob& one : chosen->alternatives) text.logprobs.push_back(one.logprob);
      }
      if (const auto* finished = std::get_if<RequestFinished>(&event)) text.reused_tokens = finished->reused_tokens;
      EXPECT_FALSE(std::holds_alternative<RequestFailed>(event));
    }
  }
  return text;
}

/// A text in a fresh engine that goes on, or leaves the saved one anywhere, snapshots included.
TEST_P(StateFileLaw, AnEngineThatLoadsAStateGivesTheSameText) {
  Runtime runtime(2);
  const auto model = load_model(golden(GetParam()), runtime, "cpu", {.mtp = true});
  const int64_t vocabulary = model->decoder->spec().vocabulary;
  const bool mtp = model->decoder->has_mtp();
  const EngineOptions options = {.speculation = {.drafter = mtp ? Drafter::kMtp : Drafter::kNgram, .always = true}};
  for (const int64_t length : {63, 64, 65, 127, 129}) {
    const auto prompt = law_prompt(length, vocabulary, 3);
    Engine first(model->decoder, options);
    OutputFile file(file_);
    EXPECT_ERROR(first.save_state(file, fields_), ErrorCode::kNotFound, "no request has finished");
    std::vector<TokenId> longer = prompt;
    const std::vector<TokenId> answered = answer(first, prompt, vocabulary).ids;
    longer.insert(longer.end(), answered.begin(), answered.end());
    longer.push_back(TokenId{1});
    EXPECT_EQ(first.save_state(file, fields_), length + 9) << "all but the last token, which no row was computed for";
    file.commit();
    Engine second(model->decoder, options), fresh(model->decoder, options);
    EXPECT_EQ(second.load_state(file_, fields_), length + 9);
    const Text went_on = answer(second, longer, vocabulary), wanted = answer(fresh, longer, vocabulary);
    EXPECT_EQ(went_on.reused_tokens, length + 9) << "none is computed again";
    EXPECT_EQ(wanted.reused_tokens, 0);
    EXPECT_EQ(went_on.ids, wanted.ids);
    EXPECT_TRUE(same_bits(went_on.logprobs, wanted.logprobs));
    for (const size_t cut : {5u, 33u, 62u}) {
      std::vector<TokenId> other(prompt.begin(), prompt.begin() + static_cast<int64_t>(cut));
      other.push_back(TokenId{2});
      Engine third(model->decoder, options), alone(model->decoder, options);
      third.load_state(file_, fields_);
      EXPECT_EQ(answer(third, other, vocabulary).ids, answer(alone, other, vocabulary).ids) << "left at " << cut;
    }
  }
  Engine small(model->decoder, {.context_tokens = 50});
  EXPECT_ERROR(small.load_state(file_, fields_), ErrorCode::kContextOverflow, "the context holds 50");
  const auto reference = load_model(golden(GetParam()), runtime, "ref", {.mtp = true});
  Engine other(reference->decoder);
  EXPECT_ERROR(other.load_state(file_, fields_), ErrorCode::kBadValue, "field 'arithmetic' is 'cpu 1");
  if (mtp) {
    const auto trunk = load_model(golden(GetParam()), runtime, "cpu");
    Engine without(trunk->decoder);
    EXPECT_ERROR(without.load_state(file_, fields_), ErrorCode::kBadValue, "field 'layers' is");
  }
}

INSTANTIATE_TEST_SUITE_P(Models, StateFileLaw, testing::ValuesIn(kLawModels), law_model_name);

}  // namespace
}  // namespace duet::test
