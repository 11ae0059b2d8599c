#include "model/families/families.h"
#include "model/families/transformer.h"

namespace duet {
namespace {

constexpr TransformerTraits kTraits{
    .family = "qwen",
    .gguf_architecture = "qwen3",
    .hf_architecture = "Qwen3ForCausalLM",
    .qk_norm = QkNorm::kWeightedBeforeRope,
    .reads_attention_bias = true,
    .reads_sliding_window = true,
    .default_head_dim = 128,
};

ModelDescription describe(const Checkpoint& checkpoint) { return describe_transformer(kTraits, checkpoint); }

}  // namespace

/// Qwen3 dense: no biases, RMS norm of each head of q and k before rope, a head size of its own.
const Family& qwen3_family() {
  static const Family kFamily{kTraits.gguf_architecture, {kTraits.hf_architecture}, describe};
  return kFamily;
}

}  // namespace duet
