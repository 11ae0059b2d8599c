#include "model/families/families.h"
#include "model/families/transformer.h"

namespace duet {
namespace {

constexpr TransformerTraits kTraits{
    .family = "qwen",
    .gguf_architecture = "qwen3moe",
    .hf_architecture = "Qwen3MoeForCausalLM",
    .qk_norm = QkNorm::kWeightedBeforeRope,
    .reads_attention_bias = true,
    .reads_sliding_window = true,
    .experts = true,
};

ModelDescription describe(const Checkpoint& checkpoint) { return describe_transformer(kTraits, checkpoint); }

}  // namespace

/// Qwen3-MoE: the attention of Qwen3, and a mixture of experts in most layers (equations.md section 7).
const Family& qwen3_moe_family() {
  static const Family kFamily{kTraits.gguf_architecture, {kTraits.hf_architecture}, describe};
  return kFamily;
}

}  // namespace duet
