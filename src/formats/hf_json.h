#pragma once

#include <filesystem>

#include "base/json.h"

namespace duet {

/// A JSON object of a Hugging Face folder, at most 4 MiB and 262,144 values.
/// Throws bad_json (also for another top level), too_deep, too_large, bad_key, io_error.
Json read_json_object(const std::filesystem::path& path);

/// Judges the fields of a generation_config.json that steer sampling and stopping: types and ranges (null means
/// absent), and token ids against the vocab_size of config.json, if there is one. Throws bad_value (names the key,
/// value and legal range).
void check_generation_config(const Json& generation, const Json* config);

}  // namespace duet
