#include "model/registry.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "model/families/base_fields.h"
#include "model/families/families.h"
#include "model/generation_config.h"

namespace duet {
namespace {

const std::array kFamilies = {&llama_family(),     &llama4_family(),     &qwen2_family(),  &qwen3_family(),
                              &qwen3_moe_family(), &qwen3_next_family(), &qwen35_family(), &qwen35_moe_family()};

/// Architectures of these families that Duet knows by name and cannot run: their text parts need more than their
/// tensors.
struct Refused {
  std::string_view name;
  std::string_view what;
};
constexpr std::array kRefused = {
    Refused{"Qwen2VLForConditionalGeneration", "its input is text and images"},
    Refused{"Qwen2_5_VLForConditionalGeneration", "its input is text and images"},
    Refused{"Qwen2_5OmniForConditionalGeneration", "its input is text, images and sound"},
    Refused{"Qwen3VLForConditionalGeneration", "its input is text and images"},
    Refused{"Qwen3VLMoeForConditionalGeneration", "its input is text and images"},
    Refused{"Qwen3OmniMoeForConditionalGeneration", "its input is text, images and sound"},
    Refused{"MllamaForConditionalGeneration", "its input is text and images, which layers of cross attention read"},
    Refused{"MllamaForCausalLM", "its layers of cross attention read images"},
    Refused{"qwen2vl", "its input is text and images"},
    Refused{"qwen3vl", "its input is text and images"},
    Refused{"qwen3vlmoe", "its input is text and images"},
    Refused{"mllama", "its input is text and images, which layers of cross attention read"},
};

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
  if (experts && used) check_top_k(fields, used_key, *used, *experts);
}

}  // namespace

int64_t RowMap::stored(int64_t row) const {
  if (run == 0) return first + row;
  const int64_t within = row % run, half = run / 2;
  return first + row / run * stride + (pairs ? 2 * (within % half) + within / half : within);
}

int64_t TensorPlan::bytes() const {
  if (quantized != nullptr) return quantized->bytes / quantized->rows * shape[0];
  return row_bytes(dtype_info(entry->dtype), shape.elements());
}

int64_t TensorPlan::memory_bytes() const {
  if (is_vector) return shape.elements() * static_cast<int64_t>(sizeof(float));
  return packed_bytes(form(), shape[0], shape[1]);
}

const TensorPlan* ModelDescription::find(const std::string& canonical) const {
  const auto found = tensor_index.find(canonical);
  return found == tensor_index.end() ? nullptr : &tensors[found->second];
}

ModelDescription describe_model(const Checkpoint& checkpoint) {
  const std::string architecture = architecture_of(checkpoint);
  const bool gguf = checkpoint.metadata() != nullptr;
  std::string known;
  for (const Family* family : kFamilies) {
    std::vector<std::string_view> names = family->hf_architectures;
    if (gguf) names = {family->gguf_architecture};
    if (std::find(names.begin(), names.end(), architecture) != names.end()) {
      ModelDescription model = family->describe(checkpoint);
      read_generation_config(checkpoint, model.spec.vocabulary);  // judges its values
      return model;
    }
    for (const std::string_view name : names) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  check_experts(checkpoint, architecture);
  for (const Refused& refused : kRefused) {
    if (refused.name != architecture) continue;
    throw Error(ErrorCode::kUnsupportedArchitecture,
                fmt::format("{}: architecture '{}' is not supported: {}, and vision is not used yet",
                            gguf ? checkpoint.name() : "config.json", architecture, refused.what),
                fmt::format("a model of the same family for text alone runs; known: {}", known));
  }
  fail(ErrorCode::kUnsupportedArchitecture, "{}: architecture '{}' is not supported; known: {}",
       gguf ? checkpoint.name() : "config.json", printable(architecture), known);
}

}  // namespace duet
