#include "chat/session.h"

#include <algorithm>

#include "chat/packed_place.h"
#include "chat/thought_budget.h"
#include "hub/pack_store.h"
#include "model/decoder.h"
#include "model/fingerprint.h"
#include "model/footprint.h"
#include "text/tokenizer.h"

namespace duet {

DecoderOptions choose_arithmetic(const SessionOptions& options, const Checkpoint& checkpoint) {
  DecoderOptions out;
  if (options.activations == "auto") {
    int64_t bytes = 0;
    for (const TensorEntry& tensor : checkpoint.tensors()) bytes += static_cast<int64_t>(tensor.bytes);
    if (bytes >= kNativeFromBytes) out.activations = Activations::kNative;
  } else if (options.activations == "native") {
    out.activations = Activations::kNative;
  } else if (options.activations != "f32") {
    fail(ErrorCode::kBadValue, "activations '{}' are not known: auto, f32 and native are",
         printable(options.activations));
  }
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    if (dtype_info(type).name != options.kv_type) continue;
    out.kv_type = type;
    return out;
  }
  fail(ErrorCode::kBadValue, "keys and values cannot be kept as '{}': f32, f16, bf16 and q8_0 are known",
       printable(options.kv_type));
}

std::string_view activations_name(Activations activations) {
  return activations == Activations::kNative ? "native" : "f32";
}

namespace {

/// A draft is an id: both models must mean the same by it.
void check_equal_vocabularies(LoadedModel& model, LoadedModel& draft) {
  const Tokenizer &ours = model.tokenizer(), &theirs = draft.tokenizer();
  const int64_t count = std::max(ours.vocabulary_size(), theirs.vocabulary_size());
  for (int64_t i = 0; i < count; ++i) {
    const TokenId id{static_cast<int32_t>(i)};
    const bool both = i < ours.vocabulary_size() && i < theirs.vocabulary_size();
    if (both && ours.token_bytes(id) == theirs.token_bytes(id)) continue;
    fail(ErrorCode::kBadValue, "{} cannot draft for {}: their vocabularies differ at token {}", draft.name(),
         model.name(), i);
  }
}

}  // namespace

Session::Session(const std::filesystem::path& path, const SessionOptions& options,
                 const std::function<void(int64_t, int64_t)>& progress)
    : runtime_(options.threads), model_(options.synthetic ? LoadedModel(path, *options.synthetic) : LoadedModel(path)) {
  DecoderOptions arithmetic = choose_arithmetic(options, model_.checkpoint());
  activations_ = arithmetic.activations;
  arithmetic.mtp = options.speculate == "mtp";
  if (arithmetic.mtp && !model_.description().spec.mtp) {
    throw Error(ErrorCode::kUnsupportedFeature, fmt::format("{} has no MTP head to speculate with", model_.name()),
                "Qwen3-Next and Qwen3.5 checkpoints have one, unless they were saved without it; --speculate ngram "
                "works with all");
  }
  model_.description();
  model_.generation_config();
  if (options.text) model_.tokenizer();
  decoder_ = load_decoder(model_, runtime_.backend(options.backend), options, arithmetic, progress);
  arithmetic.mtp = false;
  engine_ =
      std::make_unique<Engine>(decoder_, EngineOptions{.context_tokens = options.context_tokens,
                                                       .speculation = speculation(options, arithmetic, progress)});
}

std::shared_ptr<const Decoder> load_decoder(LoadedModel& model, Backend& backend, const SessionOptions& options,
                                            DecoderOptions arithmetic,
                                            const std::function<void(int64_t, int64_t)>& progress) {
  if (options.expert_memory_bytes) {
    arithmetic.expert_slots = expert_slots_for(model.description(), *options.expert_memory_bytes, arithmetic.mtp);
  }
  if (!options.packed_cache && arithmetic.expert_slots == 0) return model.decoder(backend, progress, arithmetic);
  const PackedCachePlace place = packed_place(model.checkpoint(), backend, arithmetic, options.say);
  return model.decoder(backend, progress, arithmetic, &place);
}

SpeculationOptions Session::speculation(const SessionOptions& options, const DecoderOptions& arithmetic,
                                        const std::function<void(int64_t, int64_t)>& progress) {
  SpeculationOptions speculation;
  speculation.draft_tokens = options.draft_tokens;
  if (options.speculate == "off") return speculation;
  if (options.speculate == "ngram") {
    speculation.drafter = Drafter::kNgram;
  } else if (options.speculate == "mtp") {
    speculation.drafter = Drafter::kMtp;
  } else {
    draft_model_ = std::make_unique<LoadedModel>(options.speculate);
    if (options.text) check_equal_vocabularies(model_, *draft_model_);
    speculation.drafter = Drafter::kModel;
    SessionOptions all_in_memory = options;
    all_in_memory.expert_memory_bytes.reset();  // which is the other model's
    speculation.model =
        load_decoder(*draft_model_, runtime_.backend(options.backend), all_in_memory, arithmetic, progress);
  }
  return speculation;
}

const ChatTemplate& Session::chat_template() {
  const ChatTemplate* chat_template = model_.chat_template();
  if (chat_template == nullptr) {
    throw Error(ErrorCode::kNotFound, fmt::format("{}: the model has no chat template", model_.name()),
                "duet run --raw gives it a text as it is");
  }
  return *chat_template;
}

std::vector<TokenId> Session::raw_prompt(std::string_view text) {
  return model_.tokenizer().encode(text, {.parse_special = true, .add_special = true});
}

bool Session::can_think() {
  const ChatTemplate* chat_template = model_.chat_template();
  return chat_template != nullptr && knows_thoughts(*chat_template);
}

void Session::chat(const std::vector<Message>& messages, const ChatOptions& options, GenerateRequest request,
                   const std::atomic<bool>& cancel, const EventSink& sink) {
  PreparedChat prepared;
  try {
    prepared =
        prepare_chat(chat_template(), model_.tokenizer(), messages, options, context_tokens(), request.max_new_tokens);
  } catch (const Error& error) {
    sink(Failed{error});
    return;
  }
  if (prepared.dropped_messages > 0) sink(TurnsDropped{prepared.dropped_messages});
  request.prompt = std::move(prepared.ids);
  request.thought = prepared.thought;
  if (prepared.thought && prepared.thought->max_tokens) {
    request.make_guide = [&tokenizer = model_.tokenizer(), rules = *prepared.thought](int32_t) {
      return std::make_shared<ThoughtBudget>(tokenizer, rules.in_thought, *rules.max_tokens);
    };
  }
  generate(std::move(request), cancel, sink);
}

const StateFields& Session::state_fields() {
  if (!state_fields_.empty()) return state_fields_;
  std::string stored_as;
  try {
    stored_as = stored_hash(Store::from_environment(), model_.checkpoint());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;  // there is no store: the model is none of it
  }
  state_fields_ = {{"model hash", model_fingerprint(model_.checkpoint())},
                   {"model's hash in the store", stored_as},
                   {"activations", std::string(activations_name(activations_))}};
  return state_fields_;
}

int64_t Session::save_state(OutputFile& file) { return engine_->save_state(file, state_fields()); }
int64_t Session::load_state(const std::filesystem::path& path) { return engine_->load_state(path, state_fields()); }

void Session::generate(GenerateRequest request, const std::atomic<bool>& cancel, const EventSink& sink) {
  if (request.stop_ids.empty()) request.stop_ids = model_.end_ids();
  duet::generate(*engine_, model_.tokenizer(), request, cancel, sink);
}

}  // namespace duet
