#pragma once

#include <string_view>

#include "formats/checkpoint.h"
#include "model/registry.h"

namespace duet {

/// The ways in which the plain transformers differ, as data: llama.cc, qwen2.cc, qwen3.cc and qwen3_moe.cc fill one
/// each. All have softmax attention in every layer and SwiGLU, dense or as a mixture of experts.
struct TransformerTraits {
  std::string_view family;  // "llama" or "qwen"
  std::string_view gguf_architecture;
  std::string_view hf_architecture;
  QkNorm qk_norm = QkNorm::kNone;
  bool qkv_bias = false;              // always there, whatever the configuration says
  bool reads_attention_bias = false;  // config.json may say attention_bias: q, k, v and o have one
  bool reads_mlp_bias = false;
  bool reads_sliding_window = false;
  bool experts = false;  // decoder_sparse_step and mlp_only_layers say in which layers
  /// Of experts: GGUF files mostly have no key for it, config.json has norm_topk_prob.
  bool gguf_renormalises_experts = true;
  int64_t default_head_dim = 0;   // 0: hidden_size / num_attention_heads
  bool gguf_paired_rope = false;  // GGUF files have the rows of q and k in neighbouring pairs
};

/// Configuration to spec, tensors to account. Throws as describe_model().
ModelDescription describe_transformer(const TransformerTraits& traits, const Checkpoint& checkpoint);

}  // namespace duet
