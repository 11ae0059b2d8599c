#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/runtime.h"
#include "backend/types.h"
#include "chat/chat_prompt.h"
#include "chat/conversation.h"
#include "chat/generate.h"
#include "chat/loaded_model.h"
#include "engine/engine.h"

namespace duet {

struct SessionOptions {
  int threads = 0;                   // 0 = usable_cores()
  std::string backend = "cpu";       // "ref", "cpu" or "deferred"
  std::string activations = "auto";  // or "f32", "native": see choose_arithmetic()
  std::string kv_type = "f32";       // or "f16", "bf16", "q8_0"
  int64_t context_tokens = 0;        // 0 = the model's own; at most that
  std::string speculate = "off";     // or "ngram", "mtp", or where a draft model lies
  int64_t draft_tokens = 4;          // of a step, with speculation
  bool packed_cache = false;         // keep packed weights in the store, and start from what is kept
  /// Bytes of memory for routed experts; the others are read from the packed cache when they are chosen.
  std::optional<int64_t> expert_memory_bytes = std::nullopt;
  bool text = true;  // false: ids alone are worked with, the model needs no tokenizer
  /// The path is a configuration, its weights are made up.
  std::optional<SyntheticOptions> synthetic = std::nullopt;
  /// Gets lines for people: what of a packed cache was ignored, and why.
  std::function<void(const std::string& line)> say = {};
};

/// A model, ready to answer. Text in, events out. Used by one thread.
class Session {
 public:
  /// Reads everything but the weights first, so that a bad model fails at once. `progress(done_bytes, total_bytes)` is
  /// told of the weights and may throw to cancel. Throws what the parts throw, bad_value (activations, type of keys and
  /// values, backend, memory of experts).
  Session(const std::filesystem::path& path, const SessionOptions& options,
          const std::function<void(int64_t, int64_t)>& progress = {});

  LoadedModel& model() { return model_; }
  int64_t context_tokens() const { return engine_->context_tokens(); }
  Engine& engine() { return *engine_; }
  const Decoder& decoder() const { return *decoder_; }
  Activations activations() const { return activations_; }
  ThreadPool& pool() { return runtime_.pool(); }

  /// Ids of a text as it is: special tokens in it are recognised, BOS is added where the model asks for it.
  std::vector<TokenId> raw_prompt(std::string_view text);

  /// Throws not_found (the model has no chat template), template_error, template_limit.
  const ChatTemplate& chat_template();
  /// Whether the model's template knows thoughts.
  bool can_think();

  /// The whole way of a chat: messages > template > ids > engine > parsers > events. `request.prompt` is not looked at.
  /// What goes wrong is a Failed event, but for what `sink` throws.
  void chat(const std::vector<Message>& messages, const ChatOptions& options, GenerateRequest request,
            const std::atomic<bool>& cancel, const EventSink& sink);

  /// Engine::save_state() and load_state(), of this model with these options (docs/formats.md). Throws what they throw,
  /// and what reading the model's files throws.
  int64_t save_state(OutputFile& file);
  int64_t load_state(const std::filesystem::path& path);

  /// generate() of chat/generate.h. Empty `request.stop_ids` stand for the model's end tokens.
  void generate(GenerateRequest request, const std::atomic<bool>& cancel, const EventSink& sink);

 private:
  /// Throws bad_value, unsupported_feature, and what loading a draft model throws.
  SpeculationOptions speculation(const SessionOptions& options, const DecoderOptions& arithmetic,
                                 const std::function<void(int64_t, int64_t)>& progress);

  /// What tells this model, and how it computes, from others.
  const StateFields& state_fields();

  Runtime runtime_;  // outlives what was packed for its backends
  LoadedModel model_;
  std::unique_ptr<LoadedModel> draft_model_;
  Activations activations_ = Activations::kF32;
  std::shared_ptr<const Decoder> decoder_;
  std::unique_ptr<Engine> engine_;
  StateFields state_fields_;  // once they were asked for
};

/// Reads and packs the weights, or takes them from the store's packed cache, as the options say. `progress` as
/// LoadedModel::decoder(). Throws what that, packed_place() and expert_slots_for() throw.
std::shared_ptr<const Decoder> load_decoder(LoadedModel& model, Backend& backend, const SessionOptions& options,
                                            DecoderOptions arithmetic,
                                            const std::function<void(int64_t, int64_t)>& progress);

/// Weights from so many bytes on are multiplied in the native arithmetic unless told otherwise. A smaller model is
/// quick enough without, and rounding tells more in it (docs/numerics.md).
inline constexpr int64_t kNativeFromBytes = int64_t{256} << 20;

/// Activations "f32": weights are dequantized; "native": rounded activations times integers; "auto": native for models
/// of kNativeFromBytes and more. Keys and values of a sequence are rounded once to `kv_type` (docs/numerics.md). Throws
/// bad_value.
DecoderOptions choose_arithmetic(const SessionOptions& options, const Checkpoint& checkpoint);
/// "f32" or "native".
std::string_view activations_name(Activations activations);

}  // namespace duet
