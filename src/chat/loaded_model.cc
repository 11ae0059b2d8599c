#include "chat/loaded_model.h"

#include "model/decoder.h"
#include "text/tokenizer.h"

namespace duet {

LoadedModel::LoadedModel(const std::filesystem::path& path, const CheckpointNeeds& needs)
    : checkpoint_(Checkpoint::open(path, needs)) {}

LoadedModel::LoadedModel(const std::filesystem::path& path, const SyntheticOptions& synthetic)
    : checkpoint_(open_synthetic(path, synthetic)) {}

LoadedModel::~LoadedModel() = default;

const ModelDescription& LoadedModel::description() {
  if (!description_) description_ = describe_model(checkpoint_);
  return *description_;
}

std::shared_ptr<const Decoder> LoadedModel::decoder(Backend& backend,
                                                    const std::function<void(int64_t, int64_t)>& progress,
                                                    const DecoderOptions& options, const PackedCachePlace* cache) {
  if (!decoder_) decoder_ = Decoder::load(backend, checkpoint_, description(), progress, options, cache);
  return decoder_;
}

const Tokenizer& LoadedModel::tokenizer() {
  if (!tokenizer_) tokenizer_ = load_tokenizer(checkpoint_);
  return *tokenizer_;
}

const ChatTemplate* LoadedModel::chat_template() {
  if (!looked_for_template_) chat_template_ = ChatTemplate::load(checkpoint_, /*with_tools=*/false);
  looked_for_template_ = true;
  return chat_template_ ? &*chat_template_ : nullptr;
}

const GenerationConfig& LoadedModel::generation_config() {
  if (!generation_config_) {
    generation_config_ = read_generation_config(checkpoint_, description().spec.vocabulary);
  }
  return *generation_config_;
}

std::vector<TokenId> LoadedModel::end_ids() {
  std::vector<TokenId> ids;  // below the vocabulary's size, which fits 31 bits
  for (const int64_t id : generation_config().end_ids) ids.push_back(TokenId{static_cast<int32_t>(id)});
  return ids;
}

std::optional<SamplingParams> LoadedModel::recommended_sampling() {
  const GenerationConfig& config = generation_config();
  const bool sampled = config.do_sample.value_or(config.temperature || config.top_k || config.top_p || config.min_p ||
                                                 config.typical_p || config.xtc_probability);
  if (!sampled && !config.do_sample && !config.repetition_penalty && !config.presence_penalty &&
      !config.frequency_penalty) {
    return std::nullopt;
  }
  // What is absent has the default of transformers' GenerationConfig, which the makers had in mind.
  const auto value = [](const std::optional<double>& given, double absent) {
    return static_cast<float>(given.value_or(absent));
  };
  SamplingParams params;
  params.temperature = sampled ? value(config.temperature, 1.0) : 0.0f;
  params.top_k = config.top_k.value_or(50);
  params.top_p = value(config.top_p, 1.0);
  params.min_p = value(config.min_p, 0.0);
  params.typical_p = value(config.typical_p, 1.0);
  params.xtc_probability = value(config.xtc_probability, 0.0);
  params.xtc_threshold = value(config.xtc_threshold, 0.1);
  params.repetition_penalty = value(config.repetition_penalty, 1.0);
  params.presence_penalty = value(config.presence_penalty, 0.0);
  params.frequency_penalty = value(config.frequency_penalty, 0.0);
  return params;
}

}  // namespace duet
