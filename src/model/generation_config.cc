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

/// Steps of transformers' GenerationConfig that change which token comes, that Duet does not have, and with which value
/// they do nothing. A value that is null, false or empty does nothing either.
struct AbsentStep {
  std::string_view key;
  double neutral;
};
constexpr AbsentStep kAbsentSteps[] = {
    {"no_repeat_ngram_size", 0},
    {"encoder_no_repeat_ngram_size", 0},
    {"encoder_repetition_penalty", 1},
    {"bad_words_ids", 0},
    {"suppress_tokens", 0},
    {"begin_suppress_tokens", 0},
    {"sequence_bias", 0},
    {"forced_bos_token_id", -1},
    {"forced_eos_token_id", -1},
    {"force_words_ids", 0},
    {"constraints", 0},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"exponential_decay_length_penalty", 0},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"top_h", 1},
    {"penalty_alpha", 0},
    {"guidance_scale", 1},
    {"dola_layers", 0},
    {"watermarking_config", 0},
    {"num_beams", 1},
    {"num_beam_groups", 1},
    {"diversity_penalty", 0},
    {"stop_strings", 0},
    // of llama.cpp, in GGUF files
    {"mirostat", 0},
    {"sequence", 0},
};

bool does_nothing(const Json& value, double neutral) {
  if (value.is_number()) return value.number() == neutral;
  if (value.is_array()) return value.array().empty();
  if (value.is_object()) return value.object().empty();
  if (value.is_string()) return value.string().empty();
  return value.is_null() || (value.is_bool() && !value.boolean());
}

void warn_of_the_rest(Fields& fields, std::vector<std::string>& warnings) {
  for (const auto& [key, neutral] : kAbsentSteps) {
    const Json* value = fields.raw(std::string(key));
    if (value == nullptr || does_nothing(*value, neutral)) continue;
    warnings.push_back(fmt::format("{}: {} is {}, a step that Duet does not have: answers are sampled without it",
                                   fields.file(), fields.name(key), printable(value->dump(), 60)));
  }
  // Of lengths, memory, beams' ends and forms of output; none of them changes which token comes.
  fields.ignore({"bos_token_id", "pad_token_id", "decoder_start_token_id", "max_length", "max_new_tokens", "max_time",
                 "length_penalty", "early_stopping", "renormalize_logits", "remove_invalid_values",
                 "num_return_sequences", "use_cache", "cache_implementation", "cache_config", "return_legacy_cache",
                 "return_dict_in_generate", "output_attentions", "output_hidden_states", "output_scores",
                 "output_logits", "prompt_lookup_num_tokens", "max_matching_ngram_size", "num_assistant_tokens",
                 "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_early_exit",
                 "assistant_lookbehind", "target_lookbehind", "is_assistant", "low_memory", "token_healing",
                 "disable_compile", "compile_config", "prefill_chunk_size", "transformers_version", "chat_format",
                 "max_window_size", "trust_remote_code",
                 // mirostat's own, where that is off
                 "mirostat_tau", "mirostat_eta"});
  for (const std::string& key : fields.stray()) {
    if (key.starts_with('_')) continue;  // what transformers notes for itself
    warnings.push_back(fmt::format("{}: the key {} is not known and changes nothing", fields.file(), printable(key)));
  }
}

constexpr double kZeroIncluded = -1e-300, kFromMinus100 = -100.00000000000001;  // number() leaves out its lower end

/// A GGUF file's general.sampling.*, as llama.cpp names them.
void read_gguf_sampling(Fields& fields, GenerationConfig& config) {
  config.temperature = fields.number("temp", kZeroIncluded, 1e4);
  config.top_k = fields.integer("top_k", INT32_MIN, INT32_MAX);
  if (config.top_k && *config.top_k < 0) config.top_k = 0;  // llama.cpp: all
  config.top_p = fields.number("top_p", 0, 1);
  config.min_p = fields.number("min_p", kZeroIncluded, 1);
  config.typical_p = fields.number("typ_p", 0, 1);
  config.xtc_probability = fields.number("xtc_probability", kZeroIncluded, 1);
  config.xtc_threshold = fields.number("xtc_threshold", kZeroIncluded, 1);
  config.repetition_penalty = fields.number("penalty_repeat", 0, 1e4);
  config.frequency_penalty = fields.number("penalty_freq", kFromMinus100, 100);
  config.presence_penalty = fields.number("penalty_present", kFromMinus100, 100);
  const auto last = fields.integer("penalty_last_n", INT32_MIN, INT32_MAX);
  if (last && *last >= 0 && config.repetition_penalty.value_or(1) != 1) {
    config.warnings.push_back(fmt::format("{}: {} is {}, Duet's penalties look at the whole text", fields.file(),
                                          fields.name("penalty_last_n"), *last));
  }
  warn_of_the_rest(fields, config.warnings);
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
    config.min_p = fields.number("min_p", kZeroIncluded, 1);
    config.typical_p = fields.number("typical_p", 0, 1);
    config.top_k = fields.integer("top_k", 0, INT32_MAX);
    config.repetition_penalty = fields.number("repetition_penalty", 0, 1e4);
    config.presence_penalty = fields.number("presence_penalty", kFromMinus100, 100);  // not transformers', but vLLM's
    config.frequency_penalty = fields.number("frequency_penalty", kFromMinus100, 100);
    add_end_ids(fields, vocabulary, config.end_ids);
    warn_of_the_rest(fields, config.warnings);
  }
  if (config.end_ids.empty() && checkpoint.config() != nullptr) {
    Fields fields = Fields::of_json(*checkpoint.config(), "config.json");
    add_end_ids(fields, vocabulary, config.end_ids);
  }
  if (const GgufMetadata* metadata = checkpoint.metadata()) {
    Fields fields = Fields::of_gguf(*metadata, "general.sampling");
    read_gguf_sampling(fields, config);
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
