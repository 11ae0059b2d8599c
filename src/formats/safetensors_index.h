#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace duet {

/// A checked *.safetensors.index.json: which shard holds which tensor.
struct SafetensorsIndex {
  std::vector<std::string> shards;                       // file names, in order of first appearance
  std::vector<std::pair<std::string, int32_t>> tensors;  // name and index into shards; sorted by name, unique
};

/// Caps: 64 MiB, 400,000 tensors. Reads no shard. Throws bad_json, too_large, missing_key, bad_value, bad_key,
/// path_escape, pickle_refused (a shard that is no safetensors file).
SafetensorsIndex read_safetensors_index(const std::filesystem::path& path);

}  // namespace duet
