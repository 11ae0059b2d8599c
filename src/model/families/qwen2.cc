#include "model/families/families.h"

namespace duet {

/// Qwen2 and 2.5: biases on q, k and v, none on o; sliding windows in some layers where the configuration asks for
/// them.
const DenseTraits& qwen2_traits() {
  static constexpr DenseTraits kTraits{
      .family = "qwen",
      .gguf_architecture = "qwen2",
      .hf_architecture = "Qwen2ForCausalLM",
      .qkv_bias = true,
      .reads_sliding_window = true,
  };
  return kTraits;
}

}  // namespace duet
