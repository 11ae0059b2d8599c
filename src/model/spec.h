#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backend/types.h"

namespace duet {

/// Rotary embedding with its *effective* numbers: whatever scaling a file asks for (llama3, YaRN, linear, divisors of a
/// GGUF file) has been folded into the inverse frequencies and the factor by the family (equations.md section 6).
struct RopeSpec {
  int64_t dims = 0;             // R, even, <= head_dim; the rest of a head passes through; 0 = no rotation at all
  std::vector<float> inv_freq;  // [R/2]
  float factor = 1.0f;          // multiplies cos and sin (YaRN's attention factor)
  bool operator==(const RopeSpec&) const = default;
};

/// RMS norm of each head of q and k.
enum class QkNorm { kNone, kWeightedBeforeRope, kWeightlessAfterRope };

/// q at position p is multiplied by 1 + scale ln(1 + floor((p + 1) / floor_tokens)) (Llama 4, equations.md section 4).
struct AttentionTemperature {
  double floor_tokens = 0;
  double scale = 0;
  bool operator==(const AttentionTemperature&) const = default;
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
  QkNorm qk_norm = QkNorm::kNone;
  bool output_gate = false;  // the mixed heads are multiplied by sigmoid(g_proj x) before o_proj
  /// What query i sees of the keys j <= i: all, those with i - window < j, or those of its own chunk,
  /// floor(j / chunk) = floor(i / chunk). At most one of the two is above 0.
  int64_t window = 0;
  int64_t chunk = 0;
  std::optional<AttentionTemperature> temperature;
};

/// down(silu(gate(x)) * up(x))
struct DenseFfn {
  int64_t ffn_dim = 0;  // F
  bool bias = false;
};

/// A mixture of experts, each down(silu(gate(x)) * up(x)):  sum over the chosen e of w_e E_e(x), or of E_e(w_e x) with
/// `scale_input`; plus, with shared_dim > 0, one more expert for every token, multiplied by sigmoid(its gate x) where
/// it has one (equations.md 1.6 and 4).
struct MoeFfn {
  int64_t experts = 0;     // E
  int64_t top_k = 0;       // experts of a token
  int64_t expert_dim = 0;  // F of one expert
  RouterScore score = RouterScore::kSoftmaxRenormalised;
  bool scale_input = false;
  int64_t shared_dim = 0;  // F of the shared expert, 0 = none
  bool shared_gate = false;
};

/// Gated DeltaNet: linear attention with a state of fixed size (equations.md 1.5).
struct GatedDeltaNetMixer {
  int64_t key_heads = 0;                        // Hk
  int64_t value_heads = 0;                      // Hv, a multiple of Hk
  int64_t key_dim = 0;                          // Dk
  int64_t value_dim = 0;                        // Dv
  int64_t conv_width = 0;                       // taps of the causal convolution
  std::vector<int32_t> key_head_of_value_head;  // [Hv]
};

struct LayerSpec {
  std::variant<AttentionMixer, GatedDeltaNetMixer> mixer;
  std::variant<DenseFfn, MoeFfn> ffn;
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
  std::optional<LayerSpec> mtp;  // the layer of a head that predicts one token further, where the file has one
};

}  // namespace duet
