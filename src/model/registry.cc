#include "model/registry.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "model/families/families.h"
#include "model/families/fields.h"
#include "model/generation_config.h"

namespace duet {
namespace {

const std::array kDenseFamilies = {&llama_traits(), &qwen2_traits(), &qwen3_traits()};

std::string architecture_of(const Checkpoint& checkpoint) {
  if (const GgufMetadata* metadata = checkpoint.metadata()) return metadata->require_string("general.architecture");
  if (checkpoint.config() == nullptr) {
    fail(ErrorCode::kNotFound, "{}: config.json is missing: the architecture is not known", checkpoint.name());
  }
  const Json* names = checkpoint.config()->find("architectures");
  if (names == nullptr || names->is_null())
    fail(ErrorCode::kMissingKey, "config.json: the key architectures is missing");
  if (!names->is_array() || names->array().empty() || !names->array().front().is_string()) {
    fail(ErrorCode::kBadType, "config.json: architectures is {}, an array of names is wanted",
         printable(names->dump(), 60));
  }
  return names->array().front().string();
}

/// Counts of experts contradict each other in any architecture alike, so they are judged before the architecture is
/// refused.
void check_experts(const Checkpoint& checkpoint, const std::string& architecture) {
  const bool gguf = checkpoint.metadata() != nullptr;
  Fields fields = gguf ? Fields::of_gguf(*checkpoint.metadata(), architecture)
                       : Fields::of_json(*checkpoint.config(), "config.json");
  const std::string used_key = gguf ? "expert_used_count" : "num_experts_per_tok";
  const auto experts = fields.integer(gguf ? "expert_count" : "num_experts", 0, INT32_MAX);
  const auto used = fields.integer(used_key, 0, INT32_MAX);
  if (experts && used && *used > *experts) {
    fields.fail_value(used_key, std::to_string(*used), fmt::format("at most the number of experts, {}", *experts));
  }
}

}  // namespace

const TensorPlan* ModelDescription::find(std::string_view canonical) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const TensorPlan& t) { return t.canonical == canonical; });
  return found == tensors.end() ? nullptr : &*found;
}

ModelDescription describe_model(const Checkpoint& checkpoint) {
  const std::string architecture = architecture_of(checkpoint);
  for (const DenseTraits* traits : kDenseFamilies) {
    if (!names_architecture(*traits, checkpoint, architecture)) continue;
    ModelDescription model = describe_dense(*traits, checkpoint);
    read_generation_config(checkpoint, model.spec.vocabulary);  // judges its values
    return model;
  }
  check_experts(checkpoint, architecture);
  std::string known;
  for (const DenseTraits* traits : kDenseFamilies) {
    known += known.empty() ? "" : ", ";
    known += checkpoint.metadata() != nullptr ? traits->gguf_architecture : traits->hf_architecture;
  }
  fail(ErrorCode::kUnsupportedArchitecture, "{}: architecture '{}' is not supported; known: {}",
       checkpoint.metadata() != nullptr ? checkpoint.name() : "config.json", printable(architecture), known);
}

}  // namespace duet
