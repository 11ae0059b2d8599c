#include "model/families/transformer.h"

#include <algorithm>

#include "base/error.h"
#include "model/families/base_fields.h"
#include "model/families/layer_tensors.h"
#include "model/families/rope.h"
#include "model/families/tensor_account.h"

namespace duet {
namespace {

ModelSpec read_config(const TransformerTraits& traits, const Checkpoint& checkpoint,
                      std::vector<std::string>& warnings) {
  Fields config = Fields::of_json(*checkpoint.config(), "config.json");
  const BaseFields base = read_base_config(config, traits.default_head_dim);
  const bool attention_bias = traits.reads_attention_bias && config.boolean("attention_bias").value_or(false);
  const bool mlp_bias = traits.reads_mlp_bias && config.boolean("mlp_bias").value_or(false);
  AttentionMixer mixer = plain_attention(base, hf_rope(config, base.head_dim, base.context, /*default_theta=*/10000.0));
  mixer.qkv_bias = traits.qkv_bias || attention_bias;
  mixer.output_bias = attention_bias;
  mixer.qk_norm = traits.qk_norm;
  std::vector<int64_t> windows(static_cast<size_t>(base.layers), 0);
  if (traits.reads_sliding_window) {
    windows = read_windows(config, base.layers);
  } else {
    config.ignore({"layer_types"});
  }
  std::vector<bool> moe_layers(static_cast<size_t>(base.layers), false);
  MoeFfn moe;
  if (traits.experts) {
    moe_layers = read_moe_layers(config, base.layers);
    moe = read_qwen_moe_config(config, /*renormalises=*/false);
  }
  DenseFfn dense{0, mlp_bias};
  const bool all_moe = std::find(moe_layers.begin(), moe_layers.end(), false) == moe_layers.end();
  if (const auto dim = config.integer("intermediate_size", 1, kMaxDim)) {
    dense.ffn_dim = *dim;
  } else if (!all_moe) {
    dense.ffn_dim = config.require_integer("intermediate_size", 1, kMaxDim);
  }
  ModelSpec spec = base_spec(base, traits.family, traits.hf_architecture);
  for (size_t i = 0; i < windows.size(); ++i) {
    mixer.window = windows[i];
    spec.layers.push_back({mixer, dense});
    if (moe_layers[i]) spec.layers.back().ffn = moe;
  }
  close_config(config, warnings);
  return spec;
}

ModelSpec read_gguf(const TransformerTraits& traits, const Checkpoint& checkpoint) {
  Fields fields = Fields::of_gguf(*checkpoint.metadata(), std::string(traits.gguf_architecture));
  const BaseFields base = read_base_gguf(fields, checkpoint);
  AttentionMixer mixer = plain_attention(base, read_gguf_rope(fields, checkpoint, base));
  // A GGUF file says by its tensors whether it has biases; layer 0 speaks for all.
  mixer.qkv_bias = traits.qkv_bias || checkpoint.find("blk.0.attn_q.bias") != nullptr ||
                   checkpoint.find("blk.0.attn_qkv.bias") != nullptr;
  mixer.output_bias = checkpoint.find("blk.0.attn_output.bias") != nullptr;
  mixer.qk_norm = traits.qk_norm;
  LayerSpec layer{mixer, {}};
  if (traits.experts) {
    layer.ffn = read_moe_gguf(fields, checkpoint, 0, traits.gguf_renormalises_experts);
    fields.integer("feed_forward_length", 0, kMaxDim);  // of the dense layers that such a file cannot have
  } else {
    const int64_t experts = fields.integer("expert_count", 0, kMaxExperts).value_or(0);
    const int64_t used = fields.integer("expert_used_count", 0, kMaxExperts).value_or(0);
    check_top_k(fields, "expert_used_count", used, experts);
    if (experts > 0) {
      if (checkpoint.find("blk.0.ffn_gate_inp.weight") == nullptr) {
        fail(ErrorCode::kMissingTensor, "{}: tensor 'blk.0.ffn_gate_inp.weight' is missing: {} is {}", fields.file(),
             fields.name("expert_count"), experts);
      }
      fail(ErrorCode::kUnsupportedFeature, "{}: {} is {}: mixtures of experts are not supported in architecture {}",
           fields.file(), fields.name("expert_count"), experts, traits.gguf_architecture);
    }
    layer.ffn = DenseFfn{fields.require_integer("feed_forward_length", 1, kMaxDim),
                         checkpoint.find("blk.0.ffn_gate.bias") != nullptr};
  }
  if (fields.has("attention.sliding_window")) {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is not known in architecture {}", fields.file(),
         fields.name("attention.sliding_window"), traits.gguf_architecture);
  }
  close_gguf(fields);
  ModelSpec spec = base_spec(base, traits.family, traits.gguf_architecture);
  spec.layers.assign(static_cast<size_t>(base.layers), layer);
  return spec;
}

}  // namespace

ModelDescription describe_transformer(const TransformerTraits& traits, const Checkpoint& checkpoint) {
  ModelDescription model;
  const bool gguf = checkpoint.metadata() != nullptr;
  model.spec = gguf ? read_gguf(traits, checkpoint) : read_config(traits, checkpoint, model.warnings);
  TensorAccount account(checkpoint);
  take_ends(account, model.spec, {});
  for (size_t i = 0; i < model.spec.layers.size(); ++i) {
    const LayerNames names(static_cast<int64_t>(i));
    const auto& mixer = std::get<AttentionMixer>(model.spec.layers[i].mixer);
    take_norms(account, names, model.spec.hidden_dim, {});
    take_attention(account, names, mixer, model.spec.hidden_dim, {.paired_rope = gguf && traits.gguf_paired_rope});
    take_ffn(account, names, model.spec.layers[i].ffn, model.spec.hidden_dim, {});
    if (!gguf) account.discard(names.hf + "self_attn.rotary_emb.inv_freq");  // a buffer that old checkpoints carry
  }
  account.close(model);
  return model;
}

}  // namespace duet
