#include "model/footprint.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "model/block.h"
#include "ops/context.h"
#include "tensor/round_row.h"

namespace duet {
namespace {

constexpr std::string_view kMtp = "mtp.", kExperts = ".mlp.experts.";

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// The layers of the trunk and, where it is loaded, that of the MTP head.
std::vector<const LayerSpec*> layers_of(const ModelSpec& spec, bool mtp) {
  std::vector<const LayerSpec*> layers;
  for (const LayerSpec& layer : spec.layers) layers.push_back(&layer);
  if (mtp && spec.mtp) layers.push_back(&*spec.mtp);
  return layers;
}

/// The expert that a tensor belongs to; -1 = none.
int64_t expert_of(std::string_view name) {
  const size_t at = name.find(kExperts);
  int64_t expert = -1;
  if (at != std::string_view::npos)
    std::from_chars(name.data() + at + kExperts.size(), name.data() + name.size(), expert);
  return expert;
}

int64_t& part_of(WeightParts& parts, std::string_view name) {
  if (name.starts_with(kMtp)) return parts.mtp;
  if (name.starts_with("model.embed_tokens.")) return parts.embedding;
  if (name.starts_with("lm_head.")) return parts.head;
  if (contains(name, ".self_attn.")) return parts.attention;
  if (contains(name, ".linear_attn.")) return parts.delta_net;
  if (contains(name, kExperts) || contains(name, ".mlp.router.") || contains(name, ".mlp.shared_expert")) {
    return parts.experts;
  }
  return contains(name, ".mlp.") ? parts.dense : parts.norms;
}

int64_t f32_scratch(Shape shape) { return Arena::footprint_bytes(DType::kF32, shape); }

}  // namespace

int64_t routed_expert_bytes(const ModelDescription& model, int64_t slots, bool mtp) {
  int64_t bytes = 0;
  for (const TensorPlan& tensor : model.tensors) {
    const int64_t expert = expert_of(tensor.canonical);
    if (expert >= 0 && expert < slots && (mtp || !tensor.canonical.starts_with(kMtp))) bytes += tensor.memory_bytes();
  }
  return bytes;
}

int64_t expert_slots_for(const ModelDescription& model, int64_t memory_bytes, bool mtp) {
  int64_t mixtures = 0, experts = 0, top_k = 0;  // the most of any mixture
  for (const LayerSpec* layer : layers_of(model.spec, mtp)) {
    const auto* moe = std::get_if<MoeFfn>(&layer->ffn);
    if (moe == nullptr) continue;
    ++mixtures;
    experts = std::max(experts, moe->experts);
    top_k = std::max(top_k, moe->top_k);
  }
  if (mixtures == 0) {
    throw Error(ErrorCode::kUnsupportedFeature, "--expert-memory: the model has no experts",
                "mixtures of experts have them; of other models all weights are read for every token");
  }
  const auto bytes_with = [&](int64_t slots) { return routed_expert_bytes(model, slots, mtp); };
  const int64_t least = bytes_with(top_k), most = bytes_with(experts);
  if (memory_bytes < least) {
    fail(ErrorCode::kBadValue,
         "--expert-memory is {} bytes, legal: {} ({} experts of each of {} layers, as a token takes them) or more; all "
         "experts take {}",
         memory_bytes, least, top_k, mixtures, most);
  }
  if (memory_bytes >= most) return 0;
  int64_t slots = top_k, above = experts;
  while (above - slots > 1) {
    const int64_t middle = slots + (above - slots) / 2;
    (bytes_with(middle) <= memory_bytes ? slots : above) = middle;
  }
  return slots;
}

WeightParts weight_parts(const ModelDescription& model, bool mtp, int64_t expert_slots) {
  WeightParts parts;
  for (const TensorPlan& tensor : model.tensors) {
    if (!mtp && tensor.canonical.starts_with(kMtp)) continue;
    if (expert_slots > 0 && expert_of(tensor.canonical) >= expert_slots) continue;
    part_of(parts, tensor.canonical) += tensor.memory_bytes();
  }
  for (const LayerSpec& layer : model.spec.layers) {  // norms without weights multiply by ones
    const auto* attention = std::get_if<AttentionMixer>(&layer.mixer);
    if (attention == nullptr || attention->qk_norm != QkNorm::kWeightlessAfterRope) continue;
    parts.attention += attention->head_dim * static_cast<int64_t>(sizeof(float));
  }
  return parts;
}

WeightWork weight_work(const ModelDescription& model, Activations activations) {
  WeightWork work;
  const auto is_native = [&](const TensorPlan& tensor) {
    return activations == Activations::kNative && integer_form(tensor.form()).scales > 0;
  };
  const TensorPlan& embedding = *model.find("model.embed_tokens.weight");
  const TensorPlan& head = model.spec.tied_head ? embedding : *model.find("lm_head.weight");
  int64_t resting_bytes = 0;  // of experts that a token does not choose
  for (const TensorPlan& tensor : model.tensors) {
    if (tensor.is_vector || &tensor == &embedding || &tensor == &head || tensor.canonical.starts_with(kMtp)) continue;
    int64_t times = 1;
    if (contains(tensor.canonical, kExperts)) {  // expert 0 counts for all that a token chooses
      if (!contains(tensor.canonical, ".mlp.experts.0.")) continue;
      const auto layer = std::stoul(tensor.canonical.substr(std::string_view("model.layers.").size()));
      const auto& moe = std::get<MoeFfn>(model.spec.layers[layer].ffn);
      times = moe.top_k;
      resting_bytes += (moe.experts - moe.top_k) * tensor.memory_bytes();
    }
    (is_native(tensor) ? work.native_macs : work.float_macs) += times * tensor.shape[0] * tensor.shape[1];
  }
  work.head_macs = head.shape[0] * head.shape[1];
  work.native_head = is_native(head);
  work.bytes =
      weight_parts(model, false).total() - resting_bytes - (&head == &embedding ? 0 : embedding.memory_bytes());
  return work;
}

int64_t widest_matrix(const ModelDescription& model) {
  int64_t widest = 0;
  for (const TensorPlan& tensor : model.tensors) {
    if (!tensor.is_vector) widest = std::max(widest, tensor.shape[1]);
  }
  return widest;
}

void check_kv_type(const ModelSpec& spec, DType type) {
  DUET_CHECK(can_round(type));
  const int64_t block = dtype_info(type).block_size;
  for (const LayerSpec& layer : spec.layers) {
    const auto* attention = std::get_if<AttentionMixer>(&layer.mixer);
    if (attention == nullptr || attention->head_dim % block == 0) continue;
    throw Error(
        ErrorCode::kUnsupportedFeature,
        fmt::format("keys and values cannot be kept as {}: the model's heads have {} values, not a multiple of {}",
                    dtype_info(type).name, attention->head_dim, block),
        "f32, f16 and bf16 fit any head");
  }
}

StateLayout state_layout(const ModelSpec& spec, const DecoderOptions& options) {
  std::vector<LayerLayout> layouts;
  for (const LayerSpec* layer : layers_of(spec, options.mtp)) {
    if (const auto* delta = std::get_if<GatedDeltaNetMixer>(&layer->mixer)) {
      layouts.emplace_back(delta_layout(*delta));
      continue;
    }
    const auto& mixer = std::get<AttentionMixer>(layer->mixer);
    layouts.emplace_back(KvLayerLayout{options.kv_type, mixer.kv_heads, mixer.head_dim, mixer.window, mixer.chunk});
  }
  return StateLayout(std::move(layouts));
}

std::vector<RopeSpec> distinct_ropes(const ModelSpec& spec, bool mtp) {
  std::vector<RopeSpec> ropes;
  for (const LayerSpec* layer : layers_of(spec, mtp)) {
    const auto* mixer = std::get_if<AttentionMixer>(&layer->mixer);
    if (mixer == nullptr || mixer->rope.dims == 0) continue;
    if (std::find(ropes.begin(), ropes.end(), mixer->rope) == ropes.end()) ropes.push_back(mixer->rope);
  }
  return ropes;
}

int64_t rope_scratch_bytes(std::span<const RopeSpec> ropes, int64_t rows) {
  int64_t bytes = 0;
  for (const RopeSpec& rope : ropes) bytes += 2 * f32_scratch({rows, rope.dims / 2});
  return bytes;
}

int64_t step_scratch_bytes(const ModelSpec& spec, std::span<const RopeSpec> ropes, int64_t rows, int64_t head_rows) {
  int64_t widest_layer = 0;
  for (const LayerSpec& layer : spec.layers) {
    widest_layer = std::max(widest_layer, Block::scratch_bytes(layer, spec.hidden_dim, rows));
  }
  // hidden, then what a block takes on top, or the final norm
  return f32_scratch({rows, spec.hidden_dim}) + rope_scratch_bytes(ropes, rows) +
         std::max(widest_layer, f32_scratch({rows, spec.hidden_dim})) + f32_scratch({head_rows, spec.hidden_dim}) +
         f32_scratch({head_rows, spec.vocabulary});
}

}  // namespace duet
