#include "model/families/families.h"

namespace duet {

/// Llama 2, 3.x, and models of the same form (SmolLM2): plain RMS norm, grouped heads, SwiGLU (equations.md section 7).
const DenseTraits& llama_traits() {
  static constexpr DenseTraits kTraits{
      .family = "llama",
      .gguf_architecture = "llama",
      .hf_architecture = "LlamaForCausalLM",
      .reads_attention_bias = true,
      .reads_mlp_bias = true,
      .gguf_qk_move = RowMove::kInterleavedToHalves,
  };
  return kTraits;
}

}  // namespace duet
