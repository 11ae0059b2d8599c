#include <cmath>

#include "base/error.h"
#include "model/families/base_fields.h"
#include "model/families/families.h"
#include "model/families/layer_tensors.h"
#include "model/families/rope.h"
#include "model/families/tensor_account.h"

// Qwen3-Next, and Qwen3.5 to 3.8: three layers of Gated DeltaNet, then one of gated attention with partial rope
// (equations.md section 1).

namespace duet {
namespace {

/// The ways in which they differ, as data.
struct HybridTraits {
  std::string_view gguf_architecture;
  const Family& (*family)();
  bool experts = false;
  /// One matrix in_proj_qkvz and one in_proj_ba, interleaved by key head, instead of in_proj_qkv, z, b and a. GGUF
  /// files split the first and leave the second.
  bool fused_projections = false;
  bool tiled_gguf_heads = false;  // GGUF files order value heads by h mod Hk instead of h / r
  bool norm_topk = false;         // the configuration may say norm_topk_prob
};

struct HybridFields {
  BaseFields base;
  AttentionMixer attention;
  GatedDeltaNetMixer delta;
  std::vector<bool> is_attention;  // [L]
  std::vector<bool> is_moe;        // [L]
  MoeFfn moe;
  DenseFfn dense;
  int64_t mtp_layers = 0;
};

constexpr int64_t kDefaultInterval = 4;

void check_delta(const Fields& fields, const GatedDeltaNetMixer& delta, const std::string& key_heads_key,
                 const std::string& value_heads_key, const std::string& key_dim_key, const std::string& conv_key) {
  if (delta.value_heads % delta.key_heads != 0) {
    fields.fail_value(value_heads_key, std::to_string(delta.value_heads),
                      fmt::format("a multiple of {}, {}", fields.name(key_heads_key), delta.key_heads));
  }
  if (delta.key_dim > DeltaView::kMaxKeyDim) {
    fields.fail_value(key_dim_key, std::to_string(delta.key_dim), fmt::format("1 to {}", DeltaView::kMaxKeyDim));
  }
  if (delta.conv_width > DeltaView::kMaxConvWidth) {
    fields.fail_value(conv_key, std::to_string(delta.conv_width), fmt::format("1 to {}", DeltaView::kMaxConvWidth));
  }
}

void check_mtp_layers(const Fields& fields, const std::string& key, int64_t layers) {
  if (layers <= 1) return;
  fail(ErrorCode::kUnsupportedFeature, "{}: {} is {}: an MTP head of one layer is known", fields.file(),
       fields.name(key), layers);
}

/// Which key head each value head reads: grouped, h / r, or tiled, h mod Hk.
void map_heads(GatedDeltaNetMixer& delta, bool tiled) {
  const int64_t ratio = delta.value_heads / delta.key_heads;
  for (int64_t h = 0; h < delta.value_heads; ++h) {
    delta.key_head_of_value_head.push_back(static_cast<int32_t>(tiled ? h % delta.key_heads : h / ratio));
  }
}

std::vector<bool> read_attention_layers(Fields& config, int64_t layers) {
  const int64_t interval = config.integer("full_attention_interval", 1, kMaxLayers).value_or(kDefaultInterval);
  std::optional<std::vector<bool>> linear = read_layer_types(config, layers, "linear_attention");
  if (!linear) return every_nth_layer(interval, layers);
  linear->flip();
  return *linear;
}

/// Newer files list the recurrent layers, with those of the MTP head behind them (llama.cpp's converter, where the
/// configuration has layer_types), and the list goes before the interval.
std::vector<bool> read_gguf_attention_layers(Fields& metadata, int64_t layers, int64_t mtp_layers) {
  const int64_t interval = metadata.integer("full_attention_interval", 1, kMaxLayers).value_or(kDefaultInterval);
  const std::string key = "attention.recurrent_layers";
  const Json::Array* recurrent = metadata.layer_array(key, layers + mtp_layers);
  if (recurrent == nullptr) return every_nth_layer(interval, layers);
  std::vector<bool> is;
  for (const Json& flag : *recurrent) {
    if (!flag.is_bool()) {
      fail(ErrorCode::kBadType, "{}: {}[{}] is of kind {}, true or false is wanted", metadata.file(),
           metadata.name(key), is.size(), flag.kind_name());
    }
    is.push_back(!flag.boolean());
    if (static_cast<int64_t>(is.size()) > layers && !is.back()) {
      metadata.fail_value(fmt::format("{}[{}]", key, is.size() - 1), "true", "false for a layer of the MTP head");
    }
  }
  is.resize(static_cast<size_t>(layers));
  return is;
}

/// partial_rotary_factor stands in rope_parameters or, in older files, beside them.
int64_t read_rope_dims(Fields& config, int64_t head_dim) {
  std::optional<double> factor = config.number("partial_rotary_factor", 0, 1);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json* rope = config.raw(key);
    if (rope == nullptr || !rope->is_object()) continue;
    Fields fields = Fields::of_json(*rope, config.file(), config.name(key) + ".");
    if (const auto own = fields.number("partial_rotary_factor", 0, 1)) factor = own;
  }
  const double exact = static_cast<double>(head_dim) * factor.value_or(0.25);
  const auto dims = static_cast<int64_t>(exact);
  if (dims % 2 != 0 || dims == 0) {
    config.fail_value("partial_rotary_factor", fmt::format("{}", factor.value_or(0.25)),
                      fmt::format("a share of {} values that is even and above 0", head_dim));
  }
  return dims;
}

HybridFields read_config(const HybridTraits& traits, Fields& config, bool outer_tied) {
  HybridFields fields;
  fields.base = read_base_config(config, /*default_head_dim=*/256);
  BaseFields& base = fields.base;
  base.tied = base.tied || outer_tied;
  if (config.boolean("attention_bias").value_or(false)) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is true: these models have no biases", config.file(),
         config.name("attention_bias"));
  }
  fields.is_attention = read_attention_layers(config, base.layers);
  fields.attention = plain_attention(
      base, hf_rope(config, read_rope_dims(config, base.head_dim), base.context, /*default_theta=*/10000.0,
                    {"partial_rotary_factor", "mrope_section", "mrope_interleaved"}));
  fields.attention.qk_norm = QkNorm::kWeightedBeforeRope;
  fields.attention.output_gate = config.boolean("attn_output_gate").value_or(true);
  GatedDeltaNetMixer& delta = fields.delta;
  delta.key_heads = config.require_integer("linear_num_key_heads", 1, kMaxHeads);
  delta.value_heads = config.require_integer("linear_num_value_heads", 1, kMaxHeads);
  delta.key_dim = config.require_integer("linear_key_head_dim", 1, kMaxDim);
  delta.value_dim = config.require_integer("linear_value_head_dim", 1, kMaxDim);
  delta.conv_width = config.integer("linear_conv_kernel_dim", 1, kMaxDim).value_or(4);
  check_delta(config, delta, "linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim",
              "linear_conv_kernel_dim");
  map_heads(delta, /*tiled=*/false);
  fields.is_moe.assign(static_cast<size_t>(base.layers), false);
  bool needs_dense = !traits.experts;
  if (traits.experts) {
    fields.is_moe = read_moe_layers(config, base.layers);
    if (!traits.norm_topk) config.ignore({"norm_topk_prob"});
    fields.moe = read_qwen_moe_config(config, /*renormalises=*/true);
    if (!traits.norm_topk) fields.moe.score = RouterScore::kSoftmaxRenormalised;  // whatever the file says
    for (const bool moe : fields.is_moe) needs_dense = needs_dense || !moe;
  } else {
    config.ignore({"mlp_only_layers"});
  }
  fields.dense.ffn_dim = config.integer("intermediate_size", 1, kMaxDim).value_or(0);
  if (needs_dense) fields.dense.ffn_dim = config.require_integer("intermediate_size", 1, kMaxDim);
  fields.mtp_layers = config.integer("mtp_num_hidden_layers", 0, kMaxLayers).value_or(0);
  check_mtp_layers(config, "mtp_num_hidden_layers", fields.mtp_layers);
  if (config.boolean("mtp_use_dedicated_embeddings").value_or(false)) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is true: an MTP head with an embedding of its own is not known",
         config.file(), config.name("mtp_use_dedicated_embeddings"));
  }
  if (const auto gate = config.string("output_gate_type"); gate && *gate != "swish" && *gate != "silu") {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is '{}', known is swish", config.file(),
         config.name("output_gate_type"), printable(*gate));
  }
  config.ignore({"mamba_ssm_dtype"});  // the state is float32 whatever it says
  return fields;
}

HybridFields read_gguf(const HybridTraits& traits, const Checkpoint& checkpoint) {
  Fields metadata = Fields::of_gguf(*checkpoint.metadata(), std::string(traits.gguf_architecture));
  HybridFields fields;
  fields.base = read_base_gguf(metadata, checkpoint);
  BaseFields& base = fields.base;
  fields.mtp_layers = metadata.integer("nextn_predict_layers", 0, base.layers - 1).value_or(0);
  check_mtp_layers(metadata, "nextn_predict_layers", fields.mtp_layers);
  base.layers -= fields.mtp_layers;  // block_count counts them
  fields.is_attention = read_gguf_attention_layers(metadata, base.layers, fields.mtp_layers);
  fields.attention = plain_attention(base, read_gguf_rope(metadata, checkpoint, base));
  fields.attention.qk_norm = QkNorm::kWeightedBeforeRope;
  fields.attention.output_gate = true;
  metadata.ignore({"rope.dimension_sections"});  // of images' positions: text has three equal ones
  GatedDeltaNetMixer& delta = fields.delta;
  delta.key_heads = metadata.require_integer("ssm.group_count", 1, kMaxHeads);
  delta.value_heads = metadata.require_integer("ssm.time_step_rank", 1, kMaxHeads);
  delta.key_dim = metadata.require_integer("ssm.state_size", 1, kMaxDim);
  delta.conv_width = metadata.require_integer("ssm.conv_kernel", 1, kMaxDim);
  const int64_t inner = metadata.require_integer("ssm.inner_size", 1, kMaxDim);
  if (inner % delta.value_heads != 0) {
    metadata.fail_value("ssm.inner_size", std::to_string(inner),
                        fmt::format("a multiple of {}, {}", metadata.name("ssm.time_step_rank"), delta.value_heads));
  }
  delta.value_dim = inner / delta.value_heads;
  check_delta(metadata, delta, "ssm.group_count", "ssm.time_step_rank", "ssm.state_size", "ssm.conv_kernel");
  map_heads(delta, traits.tiled_gguf_heads);
  fields.is_moe.assign(static_cast<size_t>(base.layers), traits.experts);
  if (traits.experts) {
    fields.moe = read_moe_gguf(metadata, checkpoint, 0);
    metadata.integer("feed_forward_length", 0, kMaxDim);  // of dense layers, which such a file does not have
  } else {
    fields.dense.ffn_dim = metadata.require_integer("feed_forward_length", 1, kMaxDim);
  }
  close_gguf(metadata);
  return fields;
}

void take_delta(TensorAccount& account, const HybridTraits& traits, const LayerNames& names,
                const GatedDeltaNetMixer& delta, int64_t hidden) {
  const int64_t heads = delta.value_heads, ratio = heads / delta.key_heads, width = heads * delta.value_dim;
  const int64_t keys = delta.key_heads * delta.key_dim, channels = 2 * keys + width;
  const std::string canonical = names.canonical + "linear_attn.", hf = names.hf + "linear_attn.";
  if (traits.fused_projections && !account.gguf()) {
    const int64_t values = ratio * delta.value_dim, stride = 2 * delta.key_dim + 2 * values;  // of one key head
    const std::string stored = hf + "in_proj_qkvz.weight";
    const Shape shape{delta.key_heads * stride, hidden};
    const auto rows = [&](int64_t first, int64_t run) {
      return RowMap{.first = first, .run = run, .stride = stride, .count = delta.key_heads * run};
    };
    account.parts(canonical + "qkv_proj", stored, shape, {channels, hidden},
                  {rows(0, delta.key_dim), rows(delta.key_dim, delta.key_dim), rows(2 * delta.key_dim, values)});
    account.part(canonical + "z_proj", stored, shape, {width, hidden}, rows(2 * delta.key_dim + values, values));
  } else {
    account.matrix(names("linear_attn.qkv_proj", "attn_qkv", "linear_attn.in_proj_qkv"), {channels, hidden});
    account.matrix(names("linear_attn.z_proj", "attn_gate", "linear_attn.in_proj_z"), {width, hidden});
  }
  if (traits.fused_projections) {
    const std::string stored = account.gguf() ? names.gguf + "ssm_ba.weight" : hf + "in_proj_ba.weight";
    const RowMap b{.first = 0, .run = ratio, .stride = 2 * ratio}, a{.first = ratio, .run = ratio, .stride = 2 * ratio};
    account.part(canonical + "b_proj", stored, {2 * heads, hidden}, {heads, hidden}, b);
    account.part(canonical + "a_proj", stored, {2 * heads, hidden}, {heads, hidden}, a);
  } else {
    account.matrix(names("linear_attn.b_proj", "ssm_beta", "linear_attn.in_proj_b"), {heads, hidden});
    account.matrix(names("linear_attn.a_proj", "ssm_alpha", "linear_attn.in_proj_a"), {heads, hidden});
  }
  const Shape conv{channels, delta.conv_width};
  if (account.gguf()) {
    account.values(canonical + "conv1d.weight", names.gguf + "ssm_conv1d.weight", conv, conv);
    account.values(canonical + "decay", names.gguf + "ssm_a", {heads}, {heads});
    account.values(canonical + "dt_bias", names.gguf + "ssm_dt.bias", {heads}, {heads});
  } else {
    account.values(canonical + "conv1d.weight", hf + "conv1d.weight", {channels, 1, delta.conv_width}, conv);
    account.values(canonical + "decay", hf + "A_log", {heads}, {heads}, {}, Fold::kMinusExp);
    account.values(canonical + "dt_bias", hf + "dt_bias", {heads}, {heads});
  }
  account.vector(names("linear_attn.norm", "ssm_norm"), delta.value_dim);  // the plain weight, not 1 + w
  account.matrix(names("linear_attn.out_proj", "ssm_out"), {hidden, width});
}

ModelDescription describe(const HybridTraits& traits, const Checkpoint& checkpoint) {
  ModelDescription model;
  const bool gguf = checkpoint.metadata() != nullptr;
  HybridFields fields;
  std::string_view architecture = traits.gguf_architecture;
  if (gguf) {
    fields = read_gguf(traits, checkpoint);
  } else {
    TextConfig config = open_text_config(checkpoint,
                                         {"vision_config", "image_token_id", "video_token_id", "vision_start_token_id",
                                          "vision_end_token_id", "language_model_only"},
                                         model.warnings);
    fields = read_config(traits, config.fields, config.outer_tied);
    close_config(config.fields, model.warnings);
    architecture = traits.family().hf_architectures[config.nested || traits.fused_projections ? 0 : 1];
  }
  model.spec = base_spec(fields.base, "qwen", architecture);
  for (size_t i = 0; i < fields.is_attention.size(); ++i) {
    LayerSpec layer{fields.attention, fields.dense};
    if (!fields.is_attention[i]) layer.mixer = fields.delta;
    if (fields.is_moe[i]) layer.ffn = fields.moe;
    model.spec.layers.push_back(std::move(layer));
  }

  TensorAccount account(checkpoint);
  const bool prefixed = account.has("model.language_model.embed_tokens.weight");
  const std::string prefix = prefixed ? "model.language_model." : "model.";
  const int64_t hidden = model.spec.hidden_dim;
  take_ends(account, model.spec, {.model = prefix, .head = "lm_head", .norm_fold = Fold::kOnePlus});
  for (size_t i = 0; i < model.spec.layers.size(); ++i) {
    const LayerSpec& layer = model.spec.layers[i];
    const LayerNames names(static_cast<int64_t>(i), prefix);
    take_norms(account, names, hidden, {.gguf_ffn_norm = "post_attention_norm", .fold = Fold::kOnePlus});
    if (const auto* delta = std::get_if<GatedDeltaNetMixer>(&layer.mixer)) {
      take_delta(account, traits, names, *delta, hidden);
    } else {
      take_attention(account, names, std::get<AttentionMixer>(layer.mixer), hidden, {.norm_fold = Fold::kOnePlus});
    }
    take_ffn(account, names, layer.ffn, hidden, {});
  }
  // A checkpoint that was saved by the reference has lost the head that its configuration may still name.
  const std::string mtp = gguf ? fmt::format("blk.{}.nextn.eh_proj.weight", fields.base.layers) : "mtp.fc.weight";
  if (account.has(mtp) || ((gguf || account.lists()) && fields.mtp_layers > 0)) {
    LayerSpec layer{fields.attention, fields.dense};
    if (traits.experts) layer.ffn = fields.moe;
    take_mtp(account, hidden, layer, fields.base.layers);
    model.spec.mtp = std::move(layer);
  }
  if (!gguf) discard_unused(account, model, "the vision tower", {"model.visual."});
  account.close(model);
  return model;
}

constexpr HybridTraits kNext{.gguf_architecture = "qwen3next",
                             .family = qwen3_next_family,
                             .experts = true,
                             .fused_projections = true,
                             .norm_topk = true};
constexpr HybridTraits kDense{.gguf_architecture = "qwen35", .family = qwen35_family, .tiled_gguf_heads = true};
constexpr HybridTraits kMoe{
    .gguf_architecture = "qwen35moe", .family = qwen35_moe_family, .experts = true, .tiled_gguf_heads = true};

}  // namespace

const Family& qwen3_next_family() {
  static const Family kFamily{kNext.gguf_architecture, {"Qwen3NextForCausalLM"}, [](const Checkpoint& checkpoint) {
                                return describe(kNext, checkpoint);
                              }};
  return kFamily;
}

const Family& qwen35_family() {
  static const Family kFamily{kDense.gguf_architecture,
                              {"Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM"},
                              [](const Checkpoint& checkpoint) { return describe(kDense, checkpoint); }};
  return kFamily;
}

const Family& qwen35_moe_family() {
  static const Family kFamily{kMoe.gguf_architecture,
                              {"Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeForCausalLM"},
                              [](const Checkpoint& checkpoint) { return describe(kMoe, checkpoint); }};
  return kFamily;
}

}  // namespace duet
