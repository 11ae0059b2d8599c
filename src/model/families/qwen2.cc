#include "model/families/families.h"
#include "model/families/transformer.h"

namespace duet {
namespace {

constexpr TransformerTraits kTraits{
    .family = "qwen",
    .gguf_architecture = "qwen2",
    .hf_architecture = "Qwen2ForCausalLM",
    .qkv_bias = true,
    .reads_sliding_window = true,
};

ModelDescription describe(const Checkpoint& checkpoint) { return describe_transformer(kTraits, checkpoint); }

}  // namespace

/// Qwen2 and 2.5: biases on q, k and v, none on o; sliding windows in some layers where the configuration asks for
/// them.
const Family& qwen2_family() {
  static const Family kFamily{kTraits.gguf_architecture, {kTraits.hf_architecture}, describe};
  return kFamily;
}

}  // namespace duet
