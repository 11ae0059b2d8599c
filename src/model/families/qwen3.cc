#include "model/families/families.h"

namespace duet {

/// Qwen3 dense: no biases, RMS norm of each head of q and k before rope, a head size of its own.
const DenseTraits& qwen3_traits() {
  static constexpr DenseTraits kTraits{
      .family = "qwen",
      .gguf_architecture = "qwen3",
      .hf_architecture = "Qwen3ForCausalLM",
      .qk_norm = true,
      .reads_attention_bias = true,
      .reads_sliding_window = true,
      .default_head_dim = 128,
  };
  return kTraits;
}

}  // namespace duet
