#include "model/families/layer_tensors.h"

#include <fmt/format.h>

namespace duet {
namespace {

void take_dense(TensorAccount& account, const LayerNames& names, const DenseFfn& ffn, int64_t hidden,
                const std::string& hf) {
  account.matrix(names("mlp.gate_proj", "ffn_gate", hf + "gate_proj"), {ffn.ffn_dim, hidden}, ffn.bias);
  account.matrix(names("mlp.up_proj", "ffn_up", hf + "up_proj"), {ffn.ffn_dim, hidden}, ffn.bias);
  account.matrix(names("mlp.down_proj", "ffn_down", hf + "down_proj"), {hidden, ffn.ffn_dim}, ffn.bias);
}

/// Experts as GGUF files have them: one tensor [E, out, in] for each of the three, or gate and up in one [E, 2F, C].
void take_stacked_experts(TensorAccount& account, const LayerNames& names, const MoeFfn& moe, int64_t hidden) {
  const auto take = [&](const char* part, const char* stored, int64_t out, int64_t in) {
    for (int64_t e = 0; e < moe.experts; ++e) {
      account.part(fmt::format("{}mlp.experts.{}.{}", names.canonical, e, part), names.gguf + stored + ".weight",
                   {moe.experts, out, in}, {out, in}, {.first = e * out});
    }
  };
  const std::string fused = names.gguf + "ffn_gate_up_exps.weight";  // an option of llama.cpp's converter
  for (int64_t e = 0; e < moe.experts && account.has(fused); ++e) {
    const std::string expert = fmt::format("{}mlp.experts.{}.", names.canonical, e);
    const int64_t dim = moe.expert_dim;
    const Shape stored{moe.experts, 2 * dim, hidden};
    account.part(expert + "gate_proj", fused, stored, {dim, hidden}, {.first = 2 * e * dim});
    account.part(expert + "up_proj", fused, stored, {dim, hidden}, {.first = (2 * e + 1) * dim});
  }
  if (!account.has(fused)) {
    take("gate_proj", "ffn_gate_exps", moe.expert_dim, hidden);
    take("up_proj", "ffn_up_exps", moe.expert_dim, hidden);
  }
  take("down_proj", "ffn_down_exps", hidden, moe.expert_dim);
}

/// gate_up_proj [E, 2F, C] and down_proj [E, C, F], or both with the last two dimensions exchanged.
void take_fused_experts(TensorAccount& account, const LayerNames& names, const MoeFfn& moe, int64_t hidden,
                        const FfnNames& ffn) {
  const std::string gate_up = names.hf + ffn.hf + "experts.gate_up_proj",
                    down = names.hf + ffn.hf + "experts.down_proj";
  const int64_t dim = moe.expert_dim;
  for (int64_t e = 0; e < moe.experts; ++e) {
    const std::string expert = fmt::format("{}mlp.experts.{}.", names.canonical, e);
    if (ffn.transposed_experts) {
      const Shape stored{moe.experts, hidden, 2 * dim};
      account.part(expert + "gate_proj", gate_up, stored, {dim, hidden}, {}, e * hidden);
      account.part(expert + "up_proj", gate_up, stored, {dim, hidden}, {.first = dim}, e * hidden);
      account.part(expert + "down_proj", down, {moe.experts, dim, hidden}, {hidden, dim}, {}, e * dim);
    } else {
      const Shape stored{moe.experts, 2 * dim, hidden};
      account.part(expert + "gate_proj", gate_up, stored, {dim, hidden}, {.first = 2 * e * dim});
      account.part(expert + "up_proj", gate_up, stored, {dim, hidden}, {.first = (2 * e + 1) * dim});
      account.part(expert + "down_proj", down, {moe.experts, hidden, dim}, {hidden, dim}, {.first = e * hidden});
    }
  }
}

void take_single_experts(TensorAccount& account, const LayerNames& names, const MoeFfn& moe, int64_t hidden,
                         const std::string& hf) {
  for (int64_t e = 0; e < moe.experts; ++e) {
    const auto name = [&](const char* part) {
      const std::string tail = fmt::format("experts.{}.{}", e, part);
      return names("mlp." + tail, {}, hf + tail);
    };
    account.matrix(name("gate_proj"), {moe.expert_dim, hidden});
    account.matrix(name("up_proj"), {moe.expert_dim, hidden});
    account.matrix(name("down_proj"), {hidden, moe.expert_dim});
  }
}

void take_moe(TensorAccount& account, const LayerNames& names, const MoeFfn& moe, int64_t hidden, const FfnNames& ffn) {
  account.matrix(names("mlp.router", "ffn_gate_inp", ffn.hf + ffn.hf_router), {moe.experts, hidden});
  if (account.gguf()) {
    take_stacked_experts(account, names, moe, hidden);
  } else if (account.has_in_any_form(names.hf + ffn.hf + "experts.gate_up_proj")) {
    take_fused_experts(account, names, moe, hidden, ffn);
  } else {
    take_single_experts(account, names, moe, hidden, ffn.hf);
  }
  if (moe.shared_dim == 0) return;
  const std::string hf = ffn.hf + "shared_expert.";
  account.matrix(names("mlp.shared_expert.gate_proj", "ffn_gate_shexp", hf + "gate_proj"), {moe.shared_dim, hidden});
  account.matrix(names("mlp.shared_expert.up_proj", "ffn_up_shexp", hf + "up_proj"), {moe.shared_dim, hidden});
  account.matrix(names("mlp.shared_expert.down_proj", "ffn_down_shexp", hf + "down_proj"), {hidden, moe.shared_dim});
  if (!moe.shared_gate) return;
  const TensorName gate = names("mlp.shared_expert_gate", "ffn_gate_inp_shexp", ffn.hf + "shared_expert_gate");
  account.row_matrix(gate, hidden);
}

}  // namespace

LayerNames::LayerNames(int64_t layer, const std::string& model)
    : canonical(fmt::format("model.layers.{}.", layer)),
      hf(fmt::format("{}layers.{}.", model, layer)),
      gguf(fmt::format("blk.{}.", layer)) {}

LayerNames LayerNames::of_mtp(int64_t gguf_block) {
  LayerNames names(gguf_block);
  names.canonical = names.hf = "mtp.layers.0.";
  return names;
}

TensorName LayerNames::operator()(const std::string& part, const std::string& in_gguf, const std::string& in_hf) const {
  return {canonical + part, hf + (in_hf.empty() ? part : in_hf), gguf + in_gguf};
}

void take_mtp(TensorAccount& account, int64_t hidden, const LayerSpec& layer, int64_t gguf_block) {
  const LayerNames names = LayerNames::of_mtp(gguf_block);
  const Fold fold = account.gguf() ? Fold::kNone : Fold::kOnePlus;
  account.matrix({"mtp.fc", "mtp.fc", names.gguf + "nextn.eh_proj"}, {hidden, 2 * hidden});
  account.vector({"mtp.embed_norm", "mtp.pre_fc_norm_embedding", names.gguf + "nextn.enorm"}, hidden, fold);
  account.vector({"mtp.hidden_norm", "mtp.pre_fc_norm_hidden", names.gguf + "nextn.hnorm"}, hidden, fold);
  account.vector({"mtp.norm", "mtp.norm", names.gguf + "nextn.shared_head_norm"}, hidden, fold);
  take_norms(account, names, hidden, {.gguf_ffn_norm = "post_attention_norm", .fold = Fold::kOnePlus});
  take_attention(account, names, std::get<AttentionMixer>(layer.mixer), hidden, {.norm_fold = Fold::kOnePlus});
  take_ffn(account, names, layer.ffn, hidden, {});
}

void take_ends(TensorAccount& account, const ModelSpec& spec, const EndNames& names) {
  const Fold fold = account.gguf() ? Fold::kNone : names.norm_fold;
  account.matrix({"model.embed_tokens", names.model + "embed_tokens", "token_embd"},
                 {spec.vocabulary, spec.hidden_dim});
  account.vector({"model.norm", names.model + "norm", "output_norm"}, spec.hidden_dim, fold);
  if (!spec.tied_head) account.matrix({"lm_head", names.head, "output"}, {spec.vocabulary, spec.hidden_dim});
  // The reference ties whatever the file holds beside it.
  if (spec.tied_head && !account.gguf()) account.discard(names.head + ".weight");
  if (account.gguf()) account.discard("rope_freqs.weight");  // folded into the rope
}

void take_norms(TensorAccount& account, const LayerNames& names, int64_t hidden, const NormNames& norms) {
  const Fold fold = account.gguf() ? Fold::kNone : norms.fold;
  account.vector(names("input_layernorm", "attn_norm"), hidden, fold);
  account.vector(names("post_attention_layernorm", norms.gguf_ffn_norm), hidden, fold);
}

void take_attention(TensorAccount& account, const LayerNames& names, const AttentionMixer& mixer, int64_t hidden,
                    const AttentionRows& rows) {
  const int64_t dim = mixer.head_dim, q = mixer.heads * dim, kv = mixer.kv_heads * dim;
  const int64_t q_rows = mixer.output_gate ? 2 * q : q, total = q_rows + 2 * kv;
  // q, k and v may be one tensor of a GGUF file, by an option of llama.cpp's converter; their biases another, or three.
  const std::string qkv = names.gguf + "attn_qkv";
  const bool fused = account.gguf() && account.has(qkv + ".weight"), fused_bias = account.has(qkv + ".bias");
  const auto take = [&](const char* part, const char* in_gguf, int64_t count, RowMap map, int64_t at) {
    const TensorName name = names(part, in_gguf);
    if (!fused) return account.matrix(name, {count, hidden}, mixer.qkv_bias, map);
    const RowMap own = map;
    map.first += at;
    account.part(name.canonical, qkv + ".weight", {total, hidden}, {count, hidden}, map);
    if (!mixer.qkv_bias) return;
    if (fused_bias) return account.values(name.canonical + ".bias", qkv + ".bias", {total}, {count}, map);
    account.values(name.canonical + ".bias", name.gguf + ".bias", {count}, {count}, own);
  };
  const auto moved = [&](int64_t count, int64_t heads) {
    return rows.paired_rope ? RowMap::paired(count, heads) : RowMap{};
  };
  if (mixer.output_gate) {
    const std::string stored = !account.gguf() ? names.hf + "self_attn.q_proj" : fused ? qkv : names.gguf + "attn_q";
    const Shape shape{fused ? total : q_rows, hidden};
    account.part(names.canonical + "self_attn.q_proj", stored + ".weight", shape, {q, hidden},
                 {.first = 0, .run = dim, .stride = 2 * dim});
    account.part(names.canonical + "self_attn.g_proj", stored + ".weight", shape, {q, hidden},
                 {.first = dim, .run = dim, .stride = 2 * dim});
  } else {
    take("self_attn.q_proj", "attn_q", q, moved(q, mixer.heads), 0);
  }
  take("self_attn.k_proj", "attn_k", kv, moved(kv, mixer.kv_heads), q_rows);
  take("self_attn.v_proj", "attn_v", kv, {}, q_rows + kv);
  account.matrix(names("self_attn.o_proj", "attn_output"), {hidden, q}, mixer.output_bias);
  if (mixer.qk_norm != QkNorm::kWeightedBeforeRope) return;
  const Fold fold = account.gguf() ? Fold::kNone : rows.norm_fold;
  account.vector(names("self_attn.q_norm", "attn_q_norm"), dim, fold);
  account.vector(names("self_attn.k_norm", "attn_k_norm"), dim, fold);
}

void take_ffn(TensorAccount& account, const LayerNames& names, const std::variant<DenseFfn, MoeFfn>& ffn,
              int64_t hidden, const FfnNames& ffn_names) {
  if (const auto* dense = std::get_if<DenseFfn>(&ffn)) {
    take_dense(account, names, *dense, hidden, ffn_names.hf);
  } else {
    take_moe(account, names, std::get<MoeFfn>(ffn), hidden, ffn_names);
  }
}

void discard_unused(TensorAccount& account, ModelDescription& model, std::string_view what,
                    std::initializer_list<std::string_view> prefixes) {
  int64_t count = 0;
  for (const std::string_view prefix : prefixes) count += account.discard_all(prefix);
  if (count > 0) model.notes.push_back(fmt::format("{} ({} tensors) is not used yet", what, count));
}

}  // namespace duet
