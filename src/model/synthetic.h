#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "formats/checkpoint.h"

namespace duet {

struct SyntheticOptions {
  uint64_t seed = 0;
  std::optional<int64_t> layers;  // only the first so many
};

/// A model of a configuration alone: `path` is a config.json or its folder, the weights are seeded random numbers of
/// sizes that keep activations near 1 (bf16). Throws what describe_model() throws, bad_value (layers).
Checkpoint open_synthetic(const std::filesystem::path& path, const SyntheticOptions& options);

}  // namespace duet
