#include "model/families/dense.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/families/fields.h"
#include "model/families/rope.h"
#include "model/families/tensor_account.h"

namespace duet {
namespace {

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxDim = int64_t{1} << 24;
constexpr int64_t kMaxVocabulary = int64_t{1} << 26;

/// What both kinds of configuration boil down to.
struct DenseFields {
  int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0, vocabulary = 0, context = 0;
  double eps = 0;
  bool tied = false, qkv_bias = false, output_bias = false, mlp_bias = false;
  RopeSpec rope;
  std::vector<int64_t> windows;  // [L], 0 = none
};

int64_t head_dim_of(Fields& fields, const DenseTraits& traits, const DenseFields& dense, const std::string& key,
                    const std::string& heads_key) {
  std::optional<int64_t> dim = fields.integer(key, 1, kMaxDim);
  if (!dim && traits.default_head_dim > 0 && fields.file().ends_with(".json")) dim = traits.default_head_dim;
  if (!dim) {
    if (dense.hidden % dense.heads != 0) {
      fields.fail_value(heads_key, std::to_string(dense.heads),
                        fmt::format("a divisor of the hidden size {}", dense.hidden));
    }
    dim = dense.hidden / dense.heads;
  }
  if (*dim % 2 != 0) fields.fail_value(key, std::to_string(*dim), "an even number: rope turns pairs");
  return *dim;
}

void check_kv_heads(const Fields& fields, const DenseFields& dense, const std::string& key,
                    const std::string& heads_key) {
  if (dense.heads % dense.kv_heads != 0) {
    fields.fail_value(key, std::to_string(dense.kv_heads),
                      fmt::format("a divisor of {}, {}", fields.name(heads_key), dense.heads));
  }
}

DenseFields read_gguf(const DenseTraits& traits, const Checkpoint& checkpoint) {
  const GgufMetadata& metadata = *checkpoint.metadata();
  Fields fields = Fields::of_gguf(metadata, std::string(traits.gguf_architecture));
  DenseFields dense;
  dense.layers = fields.require_integer("block_count", 1, kMaxLayers);
  dense.context = fields.require_integer("context_length", 1, kMaxContext);
  dense.hidden = fields.require_integer("embedding_length", 1, kMaxDim);
  dense.ffn = fields.require_integer("feed_forward_length", 1, kMaxDim);
  dense.heads = fields.require_integer("attention.head_count", 1, kMaxHeads);
  dense.kv_heads = fields.integer("attention.head_count_kv", 1, kMaxHeads).value_or(dense.heads);
  check_kv_heads(fields, dense, "attention.head_count_kv", "attention.head_count");
  dense.head_dim = head_dim_of(fields, traits, dense, "attention.key_length", "attention.head_count");
  if (const auto value_dim = fields.integer("attention.value_length", 1, kMaxDim);
      value_dim && *value_dim != dense.head_dim) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is {} but {} is {}: they must be equal", fields.file(),
         fields.name("attention.value_length"), *value_dim, fields.name("attention.key_length"), dense.head_dim);
  }
  dense.eps = fields.require_number("attention.layer_norm_rms_epsilon", 0, 1);
  const int64_t rope_dims = fields.integer("rope.dimension_count", 1, kMaxDim).value_or(dense.head_dim);
  if (rope_dims % 2 != 0 || rope_dims > dense.head_dim) {
    fields.fail_value("rope.dimension_count", std::to_string(rope_dims),
                      fmt::format("an even number up to the head size {}", dense.head_dim));
  }

  std::vector<float> divisors;
  if (const TensorEntry* entry = checkpoint.find("rope_freqs.weight")) {
    if (entry->shape != Shape{rope_dims / 2}) {
      fail(ErrorCode::kShapeMismatch, "{}: tensor 'rope_freqs.weight' is {}, expected {}", fields.file(),
           entry->shape.str(), Shape{rope_dims / 2}.str());
    }
    require_vector_dtype(checkpoint, *entry);
    std::vector<std::byte> raw(entry->bytes);
    checkpoint.read(*entry, 0, raw);
    divisors.resize(static_cast<size_t>(rope_dims / 2));
    dequantize(entry->dtype, raw.data(), rope_dims / 2, divisors.data());
    for (const float d : divisors) {
      if (!std::isfinite(d) || d <= 0) {
        fail(ErrorCode::kBadValue, "{}: tensor 'rope_freqs.weight' holds {}, legal: finite and above 0", fields.file(),
             d);
      }
    }
  }
  dense.rope = gguf_rope(fields, rope_dims, dense.context, divisors);

  const std::optional<int64_t> vocabulary = fields.integer("vocab_size", 1, kMaxVocabulary);
  const GgufValue* tokens = metadata.find("tokenizer.ggml.tokens");
  const TensorEntry* embedding = checkpoint.find("token_embd.weight");
  if (tokens != nullptr && metadata.strings("tokenizer.ggml.tokens") != nullptr) {
    dense.vocabulary = static_cast<int64_t>(metadata.strings("tokenizer.ggml.tokens")->size());
    if (vocabulary && *vocabulary != dense.vocabulary) {
      fields.fail_value("vocab_size", std::to_string(*vocabulary),
                        fmt::format("the number of tokens, {}", dense.vocabulary));
    }
  } else {
    dense.vocabulary =
        vocabulary.value_or(embedding != nullptr && embedding->shape.rank() == 2 ? embedding->shape[0] : 0);
  }

  const int64_t experts = fields.integer("expert_count", 0, 65536).value_or(0);
  const int64_t used = fields.integer("expert_used_count", 0, 65536).value_or(0);
  if (used > experts)
    fields.fail_value("expert_used_count", std::to_string(used), fmt::format("at most expert_count, {}", experts));
  if (experts > 0) {
    if (checkpoint.find("blk.0.ffn_gate_inp.weight") == nullptr) {
      fail(ErrorCode::kMissingTensor, "{}: tensor 'blk.0.ffn_gate_inp.weight' is missing: {} is {}", fields.file(),
           fields.name("expert_count"), experts);
    }
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is {}: mixtures of experts are not supported in architecture {}",
         fields.file(), fields.name("expert_count"), experts, traits.gguf_architecture);
  }
  if (fields.has("attention.sliding_window")) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is not known in architecture {}", fields.file(),
         fields.name("attention.sliding_window"), traits.gguf_architecture);
  }
  if (const auto causal = fields.boolean("attention.causal"); causal && !*causal) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is false: only causal models generate", fields.file(),
         fields.name("attention.causal"));
  }
  fields.ignore({"tensor_data_layout"});
  if (const auto stray = fields.stray(); !stray.empty()) {
    fail(ErrorCode::kUnsupportedFeature, "{}: the key {} of the architecture's own namespace is not known",
         fields.file(), printable(stray.front()));
  }

  // A GGUF file says by its tensors whether it ties the head and has biases; layer 0 speaks for all.
  dense.tied = checkpoint.find("output.weight") == nullptr;
  dense.qkv_bias = traits.qkv_bias || checkpoint.find("blk.0.attn_q.bias") != nullptr;
  dense.output_bias = checkpoint.find("blk.0.attn_output.bias") != nullptr;
  dense.mlp_bias = checkpoint.find("blk.0.ffn_gate.bias") != nullptr;
  dense.windows.assign(static_cast<size_t>(dense.layers), 0);
  return dense;
}

std::vector<int64_t> read_windows(Fields& config, const DenseTraits& traits, int64_t layers) {
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  if (!traits.reads_sliding_window) return windows;
  const bool use = config.boolean("use_sliding_window").value_or(false);
  const std::optional<int64_t> window = config.integer("sliding_window", 1, kMaxContext);
  const int64_t first = config.integer("max_window_layers", 0, kMaxLayers).value_or(28);  // the reference's default
  const bool acts = use && window;
  const Json* types = config.raw("layer_types");
  if (types == nullptr) {
    for (int64_t i = first; acts && i < layers; ++i) windows[static_cast<size_t>(i)] = *window;
    return windows;
  }
  if (!types->is_array())
    fail(ErrorCode::kBadType, "{}: layer_types is of kind {}, an array is wanted", config.file(), types->kind_name());
  if (static_cast<int64_t>(types->array().size()) != layers) {
    config.fail_value("layer_types", fmt::format("{} entries", types->array().size()),
                      fmt::format("one for each of {} layers", layers));
  }
  for (size_t i = 0; i < types->array().size(); ++i) {
    const Json& type = types->array()[i];
    if (type == Json("full_attention")) continue;
    if (type != Json("sliding_attention")) {
      fail(ErrorCode::kUnsupportedFeature, "{}: layer_types[{}] is {}, known are full_attention, sliding_attention",
           config.file(), i, printable(type.dump(), 60));
    }
    if (!acts)
      config.fail_value("sliding_window", "off", fmt::format("a size, since layer_types[{}] is sliding_attention", i));
    windows[i] = *window;
  }
  return windows;
}

DenseFields read_config(const DenseTraits& traits, const Checkpoint& checkpoint, std::vector<std::string>& warnings) {
  const Json& json = *checkpoint.config();
  Fields config = Fields::of_json(json, "config.json");
  DenseFields dense;
  if (config.has("auto_map")) {
    fail(ErrorCode::kUnsupportedFeature,
         "config.json: auto_map asks for code from the model folder, which is never run");
  }
  if (const Json* quantization = config.raw("quantization_config")) {
    const Json* method = quantization->find("quant_method");
    fail(ErrorCode::kUnsupportedFeature, "config.json: quantization_config.quant_method is {}, which is not supported",
         method != nullptr ? printable(method->dump(), 60) : "absent");
  }
  dense.hidden = config.require_integer("hidden_size", 1, kMaxDim);
  dense.layers = config.require_integer("num_hidden_layers", 1, kMaxLayers);
  dense.heads = config.require_integer("num_attention_heads", 1, kMaxHeads);
  dense.kv_heads = config.integer("num_key_value_heads", 1, kMaxHeads).value_or(dense.heads);
  check_kv_heads(config, dense, "num_key_value_heads", "num_attention_heads");
  dense.head_dim = head_dim_of(config, traits, dense, "head_dim", "num_attention_heads");
  dense.ffn = config.require_integer("intermediate_size", 1, kMaxDim);
  dense.vocabulary = config.require_integer("vocab_size", 1, kMaxVocabulary);
  dense.context = config.require_integer("max_position_embeddings", 1, kMaxContext);
  dense.eps = config.number("rms_norm_eps", 0, 1).value_or(1e-6);
  dense.tied = config.boolean("tie_word_embeddings").value_or(false);
  if (const auto act = config.string("hidden_act"); act && *act != "silu" && *act != "swish") {
    fail(ErrorCode::kUnsupportedFeature, "config.json: hidden_act is '{}', known is silu", printable(*act));
  }
  const bool attention_bias = traits.reads_attention_bias && config.boolean("attention_bias").value_or(false);
  dense.qkv_bias = traits.qkv_bias || attention_bias;
  dense.output_bias = attention_bias;
  dense.mlp_bias = traits.reads_mlp_bias && config.boolean("mlp_bias").value_or(false);
  dense.rope = hf_rope(config, dense.head_dim, dense.context, /*default_theta=*/10000.0);
  dense.windows = read_windows(config, traits, dense.layers);
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    const Json* value = config.raw(key);
    if (value == nullptr) continue;
    for (const Json& id : value->is_array() ? value->array() : Json::Array{*value}) {
      if (!id.is_integer()) {
        fail(ErrorCode::kBadType, "config.json: {} is of kind {}, an integer is wanted", key, id.kind_name());
      }
      // -1 is an old way to write "none" for padding.
      const int64_t least = std::string_view(key) == "pad_token_id" ? -1 : 0;
      if (id.integer() < least || id.integer() >= dense.vocabulary) {
        config.fail_value(key, id.dump(), fmt::format("{} to {}", least, dense.vocabulary - 1));
      }
    }
  }
  config.ignore({"architectures", "model_type", "_name_or_path", "transformers_version", "torch_dtype", "dtype",
                 "use_cache", "attention_dropout", "initializer_range", "pretraining_tp", "id2label", "label2id",
                 "return_dict", "output_attentions", "output_hidden_states", "is_llama_config", "rope_interleaved",
                 "transformers.js_config"});
  if (!traits.reads_sliding_window) config.ignore({"layer_types"});
  for (const std::string& key : config.stray()) {
    warnings.push_back(fmt::format("config.json: the key {} is not known and changes nothing", printable(key)));
  }
  return dense;
}

ModelSpec make_spec(const DenseTraits& traits, const DenseFields& dense, std::string architecture) {
  ModelSpec spec;
  spec.architecture = std::move(architecture);
  spec.family = traits.family;
  spec.hidden_dim = dense.hidden;
  spec.vocabulary = dense.vocabulary;
  spec.context_tokens = dense.context;
  spec.norm_eps = static_cast<float>(dense.eps);
  spec.tied_head = dense.tied;
  for (int64_t i = 0; i < dense.layers; ++i) {
    AttentionMixer mixer;
    mixer.heads = dense.heads;
    mixer.kv_heads = dense.kv_heads;
    mixer.head_dim = dense.head_dim;
    mixer.rope = dense.rope;
    mixer.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dense.head_dim)));
    mixer.qkv_bias = dense.qkv_bias;
    mixer.output_bias = dense.output_bias;
    mixer.qk_norm = traits.qk_norm;
    mixer.window = dense.windows[static_cast<size_t>(i)];
    spec.layers.push_back({mixer, DenseFfn{dense.ffn, dense.mlp_bias}});
  }
  return spec;
}

void take_tensors(TensorAccount& account, const DenseTraits& traits, const DenseFields& dense, bool gguf) {
  const int64_t q = dense.heads * dense.head_dim, kv = dense.kv_heads * dense.head_dim, hidden = dense.hidden;
  const RowMove move = gguf ? traits.gguf_qk_move : RowMove::kNone;
  account.matrix("model.embed_tokens", "token_embd", {dense.vocabulary, hidden});
  for (int64_t i = 0; i < dense.layers; ++i) {
    const std::string hf = fmt::format("model.layers.{}.", i), g = fmt::format("blk.{}.", i);
    account.vector(hf + "input_layernorm", g + "attn_norm", hidden);
    account.matrix(hf + "self_attn.q_proj", g + "attn_q", {q, hidden}, dense.qkv_bias, move, dense.heads);
    account.matrix(hf + "self_attn.k_proj", g + "attn_k", {kv, hidden}, dense.qkv_bias, move, dense.kv_heads);
    account.matrix(hf + "self_attn.v_proj", g + "attn_v", {kv, hidden}, dense.qkv_bias);
    account.matrix(hf + "self_attn.o_proj", g + "attn_output", {hidden, q}, dense.output_bias);
    if (traits.qk_norm) {
      account.vector(hf + "self_attn.q_norm", g + "attn_q_norm", dense.head_dim);
      account.vector(hf + "self_attn.k_norm", g + "attn_k_norm", dense.head_dim);
    }
    account.vector(hf + "post_attention_layernorm", g + "ffn_norm", hidden);
    account.matrix(hf + "mlp.gate_proj", g + "ffn_gate", {dense.ffn, hidden}, dense.mlp_bias);
    account.matrix(hf + "mlp.up_proj", g + "ffn_up", {dense.ffn, hidden}, dense.mlp_bias);
    account.matrix(hf + "mlp.down_proj", g + "ffn_down", {hidden, dense.ffn}, dense.mlp_bias);
    if (!gguf) account.discard(hf + "self_attn.rotary_emb.inv_freq");  // a buffer that old checkpoints carry
  }
  account.vector("model.norm", "output_norm", hidden);
  if (!dense.tied) account.matrix("lm_head", "output", {dense.vocabulary, hidden});
  // The reference ties whatever the file holds beside it.
  if (dense.tied && !gguf) account.discard("lm_head.weight");
  if (gguf) account.discard("rope_freqs.weight");  // folded into the rope
}

}  // namespace

bool names_architecture(const DenseTraits& traits, const Checkpoint& checkpoint, std::string_view architecture) {
  return architecture == (checkpoint.metadata() != nullptr ? traits.gguf_architecture : traits.hf_architecture);
}

ModelDescription describe_dense(const DenseTraits& traits, const Checkpoint& checkpoint) {
  ModelDescription model;
  const bool gguf = checkpoint.metadata() != nullptr;
  const DenseFields dense = gguf ? read_gguf(traits, checkpoint) : read_config(traits, checkpoint, model.warnings);
  TensorAccount account(checkpoint);
  take_tensors(account, traits, dense, gguf);
  model.tensors = account.close();
  model.spec = make_spec(traits, dense, std::string(gguf ? traits.gguf_architecture : traits.hf_architecture));
  return model;
}

}  // namespace duet
