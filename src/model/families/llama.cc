#include "model/families/families.h"
#include "model/families/transformer.h"

namespace duet {
namespace {

constexpr TransformerTraits kTraits{
    .family = "llama",
    .gguf_architecture = "llama",
    .hf_architecture = "LlamaForCausalLM",
    .reads_attention_bias = true,
    .reads_mlp_bias = true,
    .gguf_paired_rope = true,
};

ModelDescription describe(const Checkpoint& checkpoint) { return describe_transformer(kTraits, checkpoint); }

}  // namespace

/// Llama 2, 3.x, and models of the same form (SmolLM2): plain RMS norm, grouped heads, SwiGLU (equations.md section 7).
const Family& llama_family() {
  static const Family kFamily{kTraits.gguf_architecture, {kTraits.hf_architecture}, describe};
  return kFamily;
}

}  // namespace duet
