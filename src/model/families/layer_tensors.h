#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "model/families/tensor_account.h"
#include "model/spec.h"

namespace duet {

/// Where the tensors of one layer stand: prefixes of the canonical, Hugging Face and GGUF names.
struct LayerNames {
  std::string canonical, hf, gguf;
  /// Layer i of the trunk; `model` is what stands before "layers." in the Hugging Face names.
  explicit LayerNames(int64_t layer, const std::string& model = "model.");
  /// `part` and the same in the two kinds of files, behind the prefixes; an empty `in_hf` is `part`.
  /// The layer of the MTP head.
  static LayerNames of_mtp(int64_t gguf_block);
  TensorName operator()(const std::string& part, const std::string& in_gguf, const std::string& in_hf = {}) const;
};

/// The MTP head: projection, norms and names of its one layer; `gguf_block` is the number of its block in GGUF files.
void take_mtp(TensorAccount& account, int64_t hidden, const LayerSpec& layer, int64_t gguf_block);

/// Embedding, final norm, head. `model` and `head` as the Hugging Face names begin.
struct EndNames {
  std::string model = "model.";
  std::string head = "lm_head";
  Fold norm_fold = Fold::kNone;  // of a Hugging Face file
};
void take_ends(TensorAccount& account, const ModelSpec& spec, const EndNames& names);

struct NormNames {
  std::string gguf_ffn_norm = "ffn_norm";
  Fold fold = Fold::kNone;  // of a Hugging Face file
};
void take_norms(TensorAccount& account, const LayerNames& names, int64_t hidden, const NormNames& norms);

struct AttentionRows {
  bool paired_rope = false;      // q and k stand in neighbouring pairs
  Fold norm_fold = Fold::kNone;  // of q_norm and k_norm of a Hugging Face file
};
/// q, k, v, o, norms of heads; with an output gate q_proj holds for each head its rows of q, then those of the gate.
void take_attention(TensorAccount& account, const LayerNames& names, const AttentionMixer& mixer, int64_t hidden,
                    const AttentionRows& rows);

struct FfnNames {
  std::string hf = "mlp.";
  std::string hf_router = "gate";
  bool transposed_experts = false;  // fused Hugging Face experts are [E, in, out]
};
/// Canonical: mlp.{gate,up,down}_proj; or mlp.router, mlp.experts.E.{gate,up,down}_proj, mlp.shared_expert.*,
/// mlp.shared_expert_gate.
void take_ffn(TensorAccount& account, const LayerNames& names, const std::variant<DenseFfn, MoeFfn>& ffn,
              int64_t hidden, const FfnNames& ffn_names);

/// Tensors whose names begin with one of `prefixes` are known and not used yet: the description says so.
void discard_unused(TensorAccount& account, ModelDescription& model, std::string_view what,
                    std::initializer_list<std::string_view> prefixes);

}  // namespace duet
