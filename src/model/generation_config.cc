#include "model/generation_config.h"

#include <algorithm>

#include "base/error.h"
#include "model/families/fields.h"

namespace duet {
namespace {

void add_end_ids(Fields& fields, int64_t vocabulary, std::vector<int64_t>& ids) {
  const Json* value = fields.raw("eos_token_id");
  if (value == nullptr) return;
  for (const Json& id : value->is_array() ? value->array() : Json::Array{*value}) {
    if (!id.is_integer()) {
      fail(ErrorCode::kBadType, "{}: eos_token_id is of kind {}, an integer is wanted", fields.file(), id.kind_name());
    }
    if (id.integer() < 0 || id.integer() >= vocabulary) {
      fields.fail_value("eos_token_id", id.dump(), fmt::format("0 to {}", vocabulary - 1));
    }
    ids.push_back(id.integer());
  }
}

}  // namespace

GenerationConfig read_generation_config(const Checkpoint& checkpoint, int64_t vocabulary) {
  GenerationConfig config;
  if (const Json* json = checkpoint.generation_config()) {
    Fields fields = Fields::of_json(*json, "generation_config.json");
    config.do_sample = fields.boolean("do_sample");
    config.temperature =
        fields.has("temperature") && fields.raw("temperature")->is_number() && fields.raw("temperature")->number() == 0
            ? std::optional<double>(0.0)
            : fields.number("temperature", 0, 1e4);
    config.top_p = fields.number("top_p", 0, 1);
    config.min_p = fields.number("min_p", -1e-300, 1);
    config.top_k = fields.integer("top_k", 0, INT32_MAX);
    config.repetition_penalty = fields.number("repetition_penalty", 0, 1e4);
    add_end_ids(fields, vocabulary, config.end_ids);
  }
  if (config.end_ids.empty() && checkpoint.config() != nullptr) {
    Fields fields = Fields::of_json(*checkpoint.config(), "config.json");
    add_end_ids(fields, vocabulary, config.end_ids);
  }
  if (const GgufMetadata* metadata = checkpoint.metadata()) {
    for (const char* key :
         {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
      // Range is judged with the tokenizer, which comes last.
      if (const auto id = metadata->integer(key); id && *id >= 0 && *id < vocabulary) config.end_ids.push_back(*id);
    }
  }
  std::sort(config.end_ids.begin(), config.end_ids.end());
  config.end_ids.erase(std::unique(config.end_ids.begin(), config.end_ids.end()), config.end_ids.end());
  return config;
}

}  // namespace duet
