#include <algorithm>

#include "base/error.h"
#include "model/families/base_fields.h"
#include "model/families/families.h"
#include "model/families/layer_tensors.h"
#include "model/families/rope.h"
#include "model/families/tensor_account.h"

namespace duet {
namespace {

constexpr std::string_view kGguf = "llama4";
constexpr int64_t kDefaultChunk = 8192;  // Llama4TextConfig's defaults; GGUF files cannot say other numbers
constexpr double kDefaultFloor = 8192, kDefaultScale = 0.1;
constexpr int64_t kDefaultNopeInterval = 4;
constexpr int64_t kMaverickExperts = 128;  // golden/gguf/README.md: no weightless norm with so many experts

/// What the two kinds of files boil down to.
struct Llama4Fields {
  BaseFields base;
  AttentionMixer roped;        // layers with rope, which attend within their chunk
  AttentionMixer unroped;      // layers without, which see everything
  std::vector<bool> has_rope;  // [L]
  std::vector<bool> is_chunked;
  std::vector<bool> is_moe;
  MoeFfn moe;
  DenseFfn dense;
};

MoeFfn mixture(int64_t experts, int64_t top_k, int64_t expert_dim) {
  MoeFfn moe;
  moe.experts = experts;
  moe.top_k = top_k;
  moe.expert_dim = expert_dim;
  moe.score = RouterScore::kSigmoid;
  moe.scale_input = true;
  moe.shared_dim = expert_dim;
  return moe;
}

void read_layer_kinds(Fields& config, Llama4Fields& fields) {
  const int64_t layers = fields.base.layers;
  const int64_t interval = config.integer("no_rope_layer_interval", 1, kMaxLayers).value_or(kDefaultNopeInterval);
  const Json::Array* rope = config.array("no_rope_layers");
  if (rope != nullptr && rope->empty()) rope = nullptr;  // the reference's way to say: by the interval
  if (rope != nullptr) rope = config.layer_array("no_rope_layers", layers);
  fields.has_rope = every_nth_layer(interval, layers);
  fields.has_rope.flip();
  for (size_t i = 0; rope != nullptr && i < rope->size(); ++i) {
    const Json& flag = (*rope)[i];  // despite its name 1 means: this layer has rope
    if (flag != Json(int64_t{0}) && flag != Json(int64_t{1})) {
      config.fail_value(fmt::format("no_rope_layers[{}]", i), flag.dump(), "0 or 1");
    }
    fields.has_rope[i] = flag == Json(int64_t{1});
  }
  fields.is_chunked = read_layer_types(config, layers, "chunked_attention").value_or(fields.has_rope);
  const int64_t step = config.integer("interleave_moe_layer_step", 1, kMaxLayers).value_or(1);
  fields.is_moe = read_layer_numbers(config, "moe_layers", layers).value_or(every_nth_layer(step, layers));
}

/// Early files say 4, later ones true.
bool read_temperature_switch(Fields& config) {
  const Json* value = config.raw("attn_temperature_tuning");
  if (value == nullptr) return true;
  if (value->is_integer()) return value->integer() != 0;
  return *config.boolean("attn_temperature_tuning");
}

Llama4Fields read_config(Fields& config, bool outer_tied) {
  Llama4Fields fields;
  fields.base = read_base_config(config, 0);
  fields.base.tied = fields.base.tied || outer_tied;
  read_layer_kinds(config, fields);
  fields.roped = plain_attention(fields.base,
                                 hf_rope(config, fields.base.head_dim, fields.base.context, /*default_theta=*/500000));
  fields.unroped = plain_attention(fields.base, {});
  if (config.boolean("use_qk_norm").value_or(true)) fields.roped.qk_norm = QkNorm::kWeightlessAfterRope;
  if (config.boolean("attention_bias").value_or(false)) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is true: no Llama 4 has biases", config.file(),
         config.name("attention_bias"));
  }
  fields.roped.chunk = config.integer("attention_chunk_size", 1, kMaxContext).value_or(kDefaultChunk);
  const AttentionTemperature temperature{config.number("floor_scale", 0, 1e9).value_or(kDefaultFloor),
                                         config.number("attn_scale", -1, 1e6).value_or(kDefaultScale)};
  if (read_temperature_switch(config)) fields.unroped.temperature = temperature;
  const int64_t experts = config.require_integer("num_local_experts", 1, kMaxExperts);
  const int64_t top_k = config.integer("num_experts_per_tok", 1, kMaxExperts).value_or(1);
  check_top_k(config, "num_experts_per_tok", top_k, experts);
  fields.moe = mixture(experts, top_k, config.require_integer("intermediate_size", 1, kMaxDim));
  const bool all_moe = std::find(fields.is_moe.begin(), fields.is_moe.end(), false) == fields.is_moe.end();
  const auto dense_dim = config.integer("intermediate_size_mlp", 1, kMaxDim);
  if (dense_dim || !all_moe) fields.dense.ffn_dim = config.require_integer("intermediate_size_mlp", 1, kMaxDim);
  config.ignore({"_attn_implementation_autoset", "for_llm_compressor", "output_router_logits", "router_aux_loss_coef",
                 "router_jitter_noise"});
  return fields;
}

Llama4Fields read_gguf(const Checkpoint& checkpoint) {
  Fields metadata = Fields::of_gguf(*checkpoint.metadata(), std::string(kGguf));
  Llama4Fields fields;
  fields.base = read_base_gguf(metadata, checkpoint);
  const BaseFields& base = fields.base;
  fields.roped = plain_attention(base, read_gguf_rope(metadata, checkpoint, base));
  fields.roped.chunk = metadata.integer("attention.chunk_size", 1, kMaxContext).value_or(kDefaultChunk);
  fields.unroped = plain_attention(base, {});
  fields.unroped.temperature = AttentionTemperature{kDefaultFloor, kDefaultScale};
  const int64_t step = metadata.integer("interleave_moe_layer_step", 1, kMaxLayers).value_or(1);
  fields.has_rope = every_nth_layer(kDefaultNopeInterval, base.layers);
  fields.has_rope.flip();
  fields.is_moe = every_nth_layer(step, base.layers);
  fields.is_chunked = fields.has_rope;
  const auto first_moe = std::find(fields.is_moe.begin(), fields.is_moe.end(), true) - fields.is_moe.begin();
  const MoeFfn read = read_moe_gguf(metadata, checkpoint, first_moe);
  fields.moe = mixture(read.experts, read.top_k, read.expert_dim);
  if (read.experts != kMaverickExperts) fields.roped.qk_norm = QkNorm::kWeightlessAfterRope;
  fields.dense.ffn_dim = metadata.require_integer("feed_forward_length", 1, kMaxDim);
  close_gguf(metadata);
  return fields;
}

Llama4Fields read_hf(const Checkpoint& checkpoint, bool& whole, std::vector<std::string>& warnings) {
  TextConfig config = open_text_config(
      checkpoint, {"vision_config", "boi_token_index", "eoi_token_index", "image_token_index"}, warnings);
  whole = config.nested;
  Llama4Fields fields = read_config(config.fields, config.outer_tied);
  close_config(config.fields, warnings);
  return fields;
}

ModelDescription describe(const Checkpoint& checkpoint) {
  ModelDescription model;
  const bool gguf = checkpoint.metadata() != nullptr;
  bool whole = false;  // with the vision tower
  const Llama4Fields fields = gguf ? read_gguf(checkpoint) : read_hf(checkpoint, whole, model.warnings);
  const Family& family = llama4_family();
  model.spec = base_spec(fields.base, "llama", gguf ? kGguf : family.hf_architectures[whole ? 0 : 1]);
  for (size_t i = 0; i < fields.has_rope.size(); ++i) {
    AttentionMixer mixer = fields.has_rope[i] ? fields.roped : fields.unroped;
    mixer.chunk = fields.is_chunked[i] ? fields.roped.chunk : 0;
    model.spec.layers.push_back({mixer, fields.dense});
    if (fields.is_moe[i]) model.spec.layers.back().ffn = fields.moe;
  }
  TensorAccount account(checkpoint);
  const std::string prefix = whole ? "language_model." : "";
  take_ends(account, model.spec, {.model = prefix + "model.", .head = prefix + "lm_head"});
  const int64_t hidden = model.spec.hidden_dim;
  for (size_t i = 0; i < model.spec.layers.size(); ++i) {
    const LayerSpec& layer = model.spec.layers[i];
    const LayerNames names(static_cast<int64_t>(i), prefix + "model.");
    take_norms(account, names, hidden, {});
    // Rope turns neighbours in files of both kinds: nothing was permuted (equations.md section 4).
    take_attention(account, names, std::get<AttentionMixer>(layer.mixer), hidden, {.paired_rope = true});
    take_ffn(account, names, layer.ffn, hidden,
             {.hf = "feed_forward.", .hf_router = "router", .transposed_experts = true});
  }
  if (whole) discard_unused(account, model, "the vision tower", {"vision_model.", "multi_modal_projector."});
  account.close(model);
  return model;
}

}  // namespace

/// Llama 4 Scout and Maverick: layers with rope that attend within chunks, layers without that see everything, a
/// mixture of experts whose router scales the input (equations.md section 4).
const Family& llama4_family() {
  static const Family kFamily{kGguf, {"Llama4ForConditionalGeneration", "Llama4ForCausalLM"}, describe};
  return kFamily;
}

}  // namespace duet
