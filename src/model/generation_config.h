#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace duet {

/// How the model's makers ask it to be sampled, and where its answers end.
struct GenerationConfig {
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, typical_p, xtc_probability, xtc_threshold;
  std::optional<double> repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
  /// End ids of generation_config.json, else config.json; of a GGUF file eos, eot and eom. Sorted, unique.
  std::vector<int64_t> end_ids;
  /// What it asks for that Duet does not do, and keys that are not known; each names its key.
  std::vector<std::string> warnings;
};

/// From generation_config.json and config.json of a folder, or the metadata of a GGUF file (general.sampling.*); judges
/// kinds and ranges (bad_type, bad_value). `vocabulary` bounds the ids.
GenerationConfig read_generation_config(const Checkpoint& checkpoint, int64_t vocabulary);

}  // namespace duet
