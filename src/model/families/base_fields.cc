#include "model/families/base_fields.h"

#include <cmath>

#include "base/error.h"
#include "model/families/rope.h"
#include "model/families/tensor_account.h"

namespace duet {
namespace {

int64_t head_dim_of(Fields& fields, int64_t default_head_dim, const BaseFields& base, const std::string& key,
                    const std::string& heads_key) {
  std::optional<int64_t> dim = fields.integer(key, 1, kMaxDim);
  if (!dim && default_head_dim > 0) dim = default_head_dim;
  if (!dim) {
    if (base.hidden % base.heads != 0) {
      fields.fail_value(heads_key, std::to_string(base.heads),
                        fmt::format("a divisor of the hidden size {}", base.hidden));
    }
    dim = base.hidden / base.heads;
  }
  if (*dim % 2 != 0) fields.fail_value(key, std::to_string(*dim), "an even number: rope turns pairs");
  return *dim;
}

void check_kv_heads(const Fields& fields, const BaseFields& base, const std::string& key,
                    const std::string& heads_key) {
  if (base.heads % base.kv_heads != 0) {
    fields.fail_value(key, std::to_string(base.kv_heads),
                      fmt::format("a divisor of {}, {}", fields.name(heads_key), base.heads));
  }
}

/// The number of tokens that the embedding has rows for.
int64_t gguf_vocabulary(Fields& fields, const Checkpoint& checkpoint) {
  const std::optional<int64_t> stated = fields.integer("vocab_size", 1, kMaxVocabulary);
  if (const auto* tokens = checkpoint.metadata()->find("tokenizer.ggml.tokens") != nullptr
                               ? checkpoint.metadata()->strings("tokenizer.ggml.tokens")
                               : nullptr) {
    const auto count = static_cast<int64_t>(tokens->size());
    if (stated && *stated != count) {
      fields.fail_value("vocab_size", std::to_string(*stated), fmt::format("the number of tokens, {}", count));
    }
    return count;
  }
  const TensorEntry* embedding = checkpoint.find("token_embd.weight");
  return stated.value_or(embedding != nullptr && embedding->shape.rank() == 2 ? embedding->shape[0] : 0);
}

void check_special_ids(Fields& config, int64_t vocabulary) {
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    const Json* value = config.raw(key);
    if (value == nullptr) continue;
    for (const Json& id : value->is_array() ? value->array() : Json::Array{*value}) {
      if (!id.is_integer()) {
        fail(ErrorCode::kBadType, "{}: {} is of kind {}, an integer is wanted", config.file(), config.name(key),
             id.kind_name());
      }
      // -1 is an old way to write "none" for padding.
      const int64_t least = std::string_view(key) == "pad_token_id" ? -1 : 0;
      if (id.integer() < least || id.integer() >= vocabulary) {
        config.fail_value(key, id.dump(), fmt::format("{} to {}", least, vocabulary - 1));
      }
    }
  }
}

}  // namespace

BaseFields read_base_config(Fields& config, int64_t default_head_dim) {
  if (config.has("auto_map")) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} asks for code from the model folder, which is never run",
         config.file(), config.name("auto_map"));
  }
  config.ignore({"quantization_config"});  // of the tensors: QuantizationConfig
  BaseFields base;
  base.hidden = config.require_integer("hidden_size", 1, kMaxDim);
  base.layers = config.require_integer("num_hidden_layers", 1, kMaxLayers);
  base.heads = config.require_integer("num_attention_heads", 1, kMaxHeads);
  base.kv_heads = config.integer("num_key_value_heads", 1, kMaxHeads).value_or(base.heads);
  check_kv_heads(config, base, "num_key_value_heads", "num_attention_heads");
  base.head_dim = head_dim_of(config, default_head_dim, base, "head_dim", "num_attention_heads");
  base.vocabulary = config.require_integer("vocab_size", 1, kMaxVocabulary);
  base.context = config.require_integer("max_position_embeddings", 1, kMaxContext);
  base.eps = config.number("rms_norm_eps", 0, 1).value_or(1e-6);
  base.tied = config.boolean("tie_word_embeddings").value_or(false);
  if (const auto act = config.string("hidden_act"); act && *act != "silu" && *act != "swish") {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is '{}', known is silu", config.file(), config.name("hidden_act"),
         printable(*act));
  }
  check_special_ids(config, base.vocabulary);
  return base;
}

BaseFields read_base_gguf(Fields& fields, const Checkpoint& checkpoint) {
  BaseFields base;
  base.layers = fields.require_integer("block_count", 1, kMaxLayers);
  base.context = fields.require_integer("context_length", 1, kMaxContext);
  base.hidden = fields.require_integer("embedding_length", 1, kMaxDim);
  base.heads = fields.require_integer("attention.head_count", 1, kMaxHeads);
  base.kv_heads = fields.integer("attention.head_count_kv", 1, kMaxHeads).value_or(base.heads);
  check_kv_heads(fields, base, "attention.head_count_kv", "attention.head_count");
  base.head_dim = head_dim_of(fields, 0, base, "attention.key_length", "attention.head_count");
  if (const auto value_dim = fields.integer("attention.value_length", 1, kMaxDim);
      value_dim && *value_dim != base.head_dim) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is {} but {} is {}: they must be equal", fields.file(),
         fields.name("attention.value_length"), *value_dim, fields.name("attention.key_length"), base.head_dim);
  }
  base.eps = fields.require_number("attention.layer_norm_rms_epsilon", 0, 1);
  base.vocabulary = gguf_vocabulary(fields, checkpoint);
  base.tied = checkpoint.find("output.weight") == nullptr;
  return base;
}

RopeSpec read_gguf_rope(Fields& fields, const Checkpoint& checkpoint, const BaseFields& base) {
  const int64_t dims = fields.integer("rope.dimension_count", 1, kMaxDim).value_or(base.head_dim);
  if (dims % 2 != 0 || dims > base.head_dim) {
    fields.fail_value("rope.dimension_count", std::to_string(dims),
                      fmt::format("an even number up to the head size {}", base.head_dim));
  }
  std::vector<float> divisors;
  if (const TensorEntry* entry = checkpoint.find("rope_freqs.weight")) {
    if (entry->shape != Shape{dims / 2}) {
      fail(ErrorCode::kShapeMismatch, "{}: tensor 'rope_freqs.weight' is {}, expected {}", fields.file(),
           entry->shape.str(), Shape{dims / 2}.str());
    }
    require_vector_dtype(checkpoint, *entry);
    std::vector<std::byte> raw(entry->bytes);
    checkpoint.read(*entry, 0, raw);
    divisors.resize(static_cast<size_t>(dims / 2));
    dequantize(entry->dtype, raw.data(), dims / 2, divisors.data());
    for (const float d : divisors) {
      if (!std::isfinite(d) || d <= 0) {
        fail(ErrorCode::kBadValue, "{}: tensor 'rope_freqs.weight' holds {}, legal: finite and above 0", fields.file(),
             d);
      }
    }
  }
  return gguf_rope(fields, dims, base.context, divisors);
}

std::vector<int64_t> read_windows(Fields& config, int64_t layers) {
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  const bool use = config.boolean("use_sliding_window").value_or(false);
  const std::optional<int64_t> window = config.integer("sliding_window", 1, kMaxContext);
  const int64_t first = config.integer("max_window_layers", 0, kMaxLayers).value_or(28);  // the reference's default
  const bool acts = use && window;
  const std::optional<std::vector<bool>> sliding = read_layer_types(config, layers, "sliding_attention");
  for (int64_t i = 0; i < layers; ++i) {
    const auto layer = static_cast<size_t>(i);
    if (sliding ? !(*sliding)[layer] : !acts || i < first) continue;
    if (!acts) {
      config.fail_value("sliding_window", "off", fmt::format("a size, since layer_types[{}] is sliding_attention", i));
    }
    windows[layer] = *window;
  }
  return windows;
}

TextConfig open_text_config(const Checkpoint& checkpoint, std::initializer_list<std::string_view> outer_keys,
                            std::vector<std::string>& warnings) {
  Fields outer = Fields::of_json(*checkpoint.config(), "config.json");
  const Json* text = outer.raw("text_config");
  if (text == nullptr) return {std::move(outer), false, false};
  if (!text->is_object()) {
    fail(ErrorCode::kBadType, "config.json: text_config is of kind {}, an object is wanted", text->kind_name());
  }
  TextConfig config{Fields::of_json(*text, "config.json", "text_config."), true, false};
  config.outer_tied = outer.boolean("tie_word_embeddings").value_or(false);
  outer.ignore(outer_keys);
  outer.ignore({"quantization_config"});
  close_config(outer, warnings);
  return config;
}

std::vector<bool> every_nth_layer(int64_t interval, int64_t layers) {
  std::vector<bool> is;
  for (int64_t i = 0; i < layers; ++i) is.push_back((i + 1) % interval == 0);
  return is;
}

std::optional<std::vector<bool>> read_layer_types(Fields& config, int64_t layers, std::string_view kind) {
  const Json::Array* types = config.layer_array("layer_types", layers);
  if (types == nullptr) return std::nullopt;
  std::vector<bool> is;
  for (const Json& type : *types) {
    is.push_back(type == Json(std::string(kind)));
    if (!is.back() && type != Json("full_attention")) {
      fail(ErrorCode::kUnsupportedFeature, "{}: {}[{}] is {}, known are full_attention, {}", config.file(),
           config.name("layer_types"), is.size() - 1, printable(type.dump(), 60), kind);
    }
  }
  return is;
}

std::optional<std::vector<bool>> read_layer_numbers(Fields& config, const std::string& key, int64_t layers) {
  const Json::Array* numbers = config.array(key);
  if (numbers == nullptr) return std::nullopt;
  std::vector<bool> is(static_cast<size_t>(layers), false);
  for (const Json& layer : *numbers) {
    if (!layer.is_integer() || layer.integer() < 0 || layer.integer() >= layers) {
      config.fail_value(key, layer.dump(), fmt::format("layers from 0 to {}", layers - 1));
    }
    is[static_cast<size_t>(layer.integer())] = true;
  }
  return is;
}

std::vector<bool> read_moe_layers(Fields& config, int64_t layers) {
  std::vector<bool> moe = every_nth_layer(config.integer("decoder_sparse_step", 1, kMaxLayers).value_or(1), layers);
  if (const auto dense = read_layer_numbers(config, "mlp_only_layers", layers)) {
    for (size_t i = 0; i < moe.size(); ++i) moe[i] = moe[i] && !(*dense)[i];
  }
  return moe;
}

void check_top_k(const Fields& fields, const std::string& key, int64_t top_k, int64_t experts) {
  if (top_k <= experts) return;
  fields.fail_value(key, std::to_string(top_k), fmt::format("at most the number of experts, {}", experts));
}

MoeFfn read_qwen_moe_config(Fields& config, bool renormalises) {
  MoeFfn moe;
  moe.experts = config.require_integer("num_experts", 1, kMaxExperts);
  moe.top_k = config.require_integer("num_experts_per_tok", 1, kMaxExperts);
  check_top_k(config, "num_experts_per_tok", moe.top_k, moe.experts);
  moe.expert_dim = config.require_integer("moe_intermediate_size", 1, kMaxDim);
  renormalises = config.boolean("norm_topk_prob").value_or(renormalises);
  moe.score = renormalises ? RouterScore::kSoftmaxRenormalised : RouterScore::kSoftmax;
  moe.shared_dim = config.integer("shared_expert_intermediate_size", 0, kMaxDim).value_or(0);
  moe.shared_gate = moe.shared_dim > 0;
  config.ignore({"output_router_logits", "router_aux_loss_coef", "router_jitter_noise"});
  return moe;
}

MoeFfn read_moe_gguf(Fields& fields, const Checkpoint& checkpoint, int64_t first_moe_layer, bool renormalises) {
  MoeFfn moe;
  moe.experts = fields.require_integer("expert_count", 1, kMaxExperts);
  moe.top_k = fields.require_integer("expert_used_count", 1, kMaxExperts);
  check_top_k(fields, "expert_used_count", moe.top_k, moe.experts);
  const std::string gate = fmt::format("blk.{}.ffn_gate_exps.weight", first_moe_layer);
  const TensorEntry* stored = checkpoint.find(gate);
  if (const auto dim = fields.integer("expert_feed_forward_length", 1, kMaxDim)) {
    moe.expert_dim = *dim;
  } else if (stored != nullptr && stored->shape.rank() == 3) {  // older files leave it to the tensor
    moe.expert_dim = stored->shape[1];
  } else {
    fail(ErrorCode::kMissingTensor, "{}: tensor '{}' is missing: {} is {}", fields.file(), gate,
         fields.name("expert_count"), moe.experts);
  }
  // Most files have no key for it: libllama decides by the architecture.
  renormalises = fields.boolean("expert_weights_norm").value_or(renormalises);
  moe.score = renormalises ? RouterScore::kSoftmaxRenormalised : RouterScore::kSoftmax;
  moe.shared_dim = fields.integer("expert_shared_feed_forward_length", 0, kMaxDim).value_or(0);
  moe.shared_gate = moe.shared_dim > 0;
  return moe;
}

void close_config(Fields& config, std::vector<std::string>& warnings) {
  config.ignore({"architectures", "model_type", "_name_or_path", "transformers_version", "torch_dtype", "dtype",
                 "use_cache", "attention_dropout", "initializer_range", "pretraining_tp", "id2label", "label2id",
                 "return_dict", "output_attentions", "output_hidden_states", "is_llama_config", "rope_interleaved",
                 "transformers.js_config"});
  for (const std::string& key : config.stray()) {
    warnings.push_back(fmt::format("{}: the key {} is not known and changes nothing", config.file(), printable(key)));
  }
}

void close_gguf(Fields& fields) {
  if (const auto causal = fields.boolean("attention.causal"); causal && !*causal) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is false: only causal models generate", fields.file(),
         fields.name("attention.causal"));
  }
  fields.ignore({"tensor_data_layout"});
  if (const auto stray = fields.stray(); !stray.empty()) {
    fail(ErrorCode::kUnsupportedFeature, "{}: the key {} of the architecture's own namespace is not known",
         fields.file(), printable(stray.front()));
  }
}

AttentionMixer plain_attention(const BaseFields& base, const RopeSpec& rope) {
  AttentionMixer mixer;
  mixer.heads = base.heads;
  mixer.kv_heads = base.kv_heads;
  mixer.head_dim = base.head_dim;
  mixer.rope = rope;
  mixer.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(base.head_dim)));
  return mixer;
}

ModelSpec base_spec(const BaseFields& base, std::string_view family, std::string_view architecture) {
  ModelSpec spec;
  spec.architecture = architecture;
  spec.family = family;
  spec.hidden_dim = base.hidden;
  spec.vocabulary = base.vocabulary;
  spec.context_tokens = base.context;
  spec.norm_eps = static_cast<float>(base.eps);
  spec.tied_head = base.tied;
  return spec;
}

}  // namespace duet
