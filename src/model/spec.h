#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace duet {

/// Rotary embedding with its *effective* numbers: whatever scaling a file asks for (llama3, YaRN, linear, divisors of a
/// GGUF file) has been folded into the inverse frequencies and the factor by the family (equations.md section 6).
struct RopeSpec {
  int64_t dims = 0;             // R, even, <= head_dim; the rest of a head passes through
  std::vector<float> inv_freq;  // [R/2]
  float factor = 1.0f;          // multiplies cos and sin (YaRN's attention factor)
  bool operator==(const RopeSpec&) const = default;
};

/// Softmax attention with grouped key/value heads.
struct AttentionMixer {
  int64_t heads = 0;     // H
  int64_t kv_heads = 0;  // Hk, divides H
  int64_t head_dim = 0;  // D
  RopeSpec rope;
  float scale = 0.0f;  // multiplies q.k
  bool qkv_bias = false;
  bool output_bias = false;
  bool qk_norm = false;  // RMS norm of each head of q and k, before rope
  int64_t window = 0;    // key j is visible to query i iff i - window < j <= i; 0 = all
};

/// down(silu(gate(x)) * up(x))
struct DenseFfn {
  int64_t ffn_dim = 0;  // F
  bool bias = false;
};

struct LayerSpec {
  std::variant<AttentionMixer> mixer;
  std::variant<DenseFfn> ffn;
};

/// A model as data: everything that the blocks need to know, and nothing of where it came from.
struct ModelSpec {
  std::string architecture;  // as the file says it: "llama", "Qwen2ForCausalLM"
  std::string family;        // "llama" or "qwen": for people, never for arithmetic
  int64_t hidden_dim = 0;    // C
  int64_t vocabulary = 0;    // V
  int64_t context_tokens = 0;
  float norm_eps = 0.0f;
  bool tied_head = false;  // the head multiplies by the embedding
  std::vector<LayerSpec> layers;
};

}  // namespace duet
