#include "model/synthetic.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "model/registry.h"

namespace duet {
namespace {

Json* member(Json& object, std::string_view key) {
  for (auto& [name, value] : object.object()) {
    if (name == key) return &value;
  }
  return nullptr;
}

/// Of the text model: lists with one entry for each layer are cut, lists of layers lose those that are gone.
void keep_layers(Json& config, int64_t layers) {
  Json* const text = member(config, "text_config");
  Json& fields = text != nullptr && text->is_object() ? *text : config;
  Json* const count = member(fields, "num_hidden_layers");
  if (count == nullptr || !count->is_integer()) return;  // describe_model() says what is wrong with it
  if (layers < 1 || layers > count->integer()) {
    fail(ErrorCode::kBadValue, "{} layers, legal: 1 to the model's own {}", layers, count->integer());
  }
  for (const std::string_view key : {"layer_types", "no_rope_layers"}) {
    Json* const list = member(fields, key);
    if (list == nullptr || !list->is_array() || static_cast<int64_t>(list->array().size()) != count->integer())
      continue;
    list->array().resize(static_cast<size_t>(layers));
  }
  for (const std::string_view key : {"mlp_only_layers", "moe_layers"}) {
    Json* const list = member(fields, key);
    if (list == nullptr || !list->is_array()) continue;
    std::erase_if(list->array(), [&](const Json& layer) { return layer.is_integer() && layer.integer() >= layers; });
  }
  for (const std::string_view key : {"max_window_layers"}) {
    Json* const most = member(fields, key);
    if (most != nullptr && most->is_integer()) *most = std::min(most->integer(), layers);
  }
  *count = layers;
}

/// Sizes as training leaves them: matrices keep the variance of what they multiply, norms are near the identity.
SyntheticTensor values_of(const TensorPlan& plan) {
  const TensorEntry& entry = *plan.entry;
  SyntheticTensor tensor{entry.name, entry.shape};
  const std::string_view name = entry.name;
  const auto root3 = std::sqrt(3.0);  // the even distribution's half width by its deviation
  if (name.ends_with("A_log")) {      // decays from 1 to 16
    tensor.centre = tensor.spread = 1.386f;
  } else if (name.ends_with("dt_bias")) {  // steps from 0.001 to 0.1
    tensor.centre = -4.6f, tensor.spread = 2.3f;
  } else if (name.ends_with("conv1d.weight")) {
    const auto taps = static_cast<double>(entry.shape[entry.shape.rank() - 1]);
    tensor.spread = static_cast<float>(root3 / std::sqrt(taps));
  } else if (name.ends_with(".bias")) {
    tensor.spread = 0.05f;
  } else if (plan.is_vector) {
    tensor.centre = plan.fold == Fold::kOnePlus ? 0.0f : 1.0f;
    tensor.spread = 0.05f;
  } else {
    tensor.spread = static_cast<float>(root3 / std::sqrt(static_cast<double>(plan.shape[1])));
  }
  return tensor;
}

}  // namespace

Checkpoint open_synthetic(const std::filesystem::path& path, const SyntheticOptions& options) {
  Checkpoint checkpoint = Checkpoint::open_config(path, [&](Json& config) {
    if (options.layers) keep_layers(config, *options.layers);
  });
  std::vector<SyntheticTensor> tensors;
  const ModelDescription model = describe_model(checkpoint);
  const TensorEntry* last = nullptr;
  std::unordered_set<std::string> listed;
  for (const TensorPlan& plan : model.tensors) {  // several plans may share one stored tensor
    if (plan.entry == last || !listed.insert(plan.entry->name).second) continue;
    last = plan.entry;
    tensors.push_back(values_of(plan));
  }
  checkpoint.add_synthetic(tensors, options.seed);
  return checkpoint;
}

}  // namespace duet
