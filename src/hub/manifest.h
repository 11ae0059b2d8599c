#pragma once

#include <filesystem>
#include <string>

#include "hub/store.h"

namespace duet {

/// The entry of a model as the store keeps it: one JSON object.
std::string manifest_text(const StoredModel& model);

/// Reads the entry called `name`. One that cannot be understood comes back with its `problem`. Throws not_found.
StoredModel read_manifest(const std::filesystem::path& path, const std::string& name);

}  // namespace duet
