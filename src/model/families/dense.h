#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.h"
#include "model/registry.h"

namespace duet {

/// The ways in which the dense families differ, as data. llama.cc, qwen2.cc and qwen3.cc fill one each.
struct DenseTraits {
  std::string_view family;  // "llama" or "qwen"
  std::string_view gguf_architecture;
  std::string_view hf_architecture;
  bool qk_norm = false;
  bool qkv_bias = false;              // always there, whatever the configuration says
  bool reads_attention_bias = false;  // config.json may say attention_bias: q, k, v and o have one
  bool reads_mlp_bias = false;
  bool reads_sliding_window = false;
  int64_t default_head_dim = 0;  // 0: hidden_size / num_attention_heads
  RowMove gguf_qk_move = RowMove::kNone;
};

/// Whether the checkpoint's own name for its architecture is this family's.
bool names_architecture(const DenseTraits& traits, const Checkpoint& checkpoint, std::string_view architecture);

/// Configuration to spec, tensors to account. Throws as describe_model().
ModelDescription describe_dense(const DenseTraits& traits, const Checkpoint& checkpoint);

}  // namespace duet
