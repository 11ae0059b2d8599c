#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/types.h"
#include "base/ids.h"
#include "chat/chat_template.h"
#include "engine/request.h"
#include "formats/checkpoint.h"
#include "model/decoder.h"
#include "model/generation_config.h"
#include "model/registry.h"
#include "model/synthetic.h"

namespace duet {

class Backend;
class Tokenizer;

/// Everything that a path holds, read part by part when it is asked for: who works with ids alone needs no tokenizer,
/// who works with text alone no weights. Used by one thread.
class LoadedModel {
 public:
  /// Opens and validates the checkpoint; no weights are read. Throws what Checkpoint::open throws.
  explicit LoadedModel(const std::filesystem::path& path,
                       const CheckpointNeeds& needs = {.config = true, .weights = true});
  /// A configuration with synthetic weights. Throws what open_synthetic() throws.
  LoadedModel(const std::filesystem::path& path, const SyntheticOptions& synthetic);
  ~LoadedModel();

  const Checkpoint& checkpoint() const { return checkpoint_; }
  /// Base name of the path, for messages.
  std::string name() const { return checkpoint_.name(); }
  /// Throws what describe_model() throws.
  const ModelDescription& description();
  /// Reads and packs the weights on the first call; `progress(done_bytes, total_bytes)` may throw to cancel.
  std::shared_ptr<const Decoder> decoder(Backend& backend, const std::function<void(int64_t, int64_t)>& progress = {},
                                         const DecoderOptions& options = {}, const PackedCachePlace* cache = nullptr);
  /// Throws what load_tokenizer() throws.
  const Tokenizer& tokenizer();
  /// nullptr: the model has none. Throws template_error, template_limit, too_large.
  const ChatTemplate* chat_template();
  /// Throws bad_type, bad_value.
  const GenerationConfig& generation_config();
  /// Ids that end an answer.
  std::vector<TokenId> end_ids();
  /// How the model's makers want it sampled; std::nullopt where they do not say.
  std::optional<SamplingParams> recommended_sampling();

 private:
  Checkpoint checkpoint_;
  std::optional<ModelDescription> description_;
  std::optional<GenerationConfig> generation_config_;
  std::shared_ptr<const Decoder> decoder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  bool looked_for_template_ = false;
};

}  // namespace duet
