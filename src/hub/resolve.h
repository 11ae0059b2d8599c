#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hub/catalog.h"
#include "hub/store.h"

namespace duet {

/// The file or folder that MODEL on a command line means: an existing path, else a model of the store by its name or an
/// alias of the catalogue. Needs no network. Throws not_found: the hint names `duet pull NAME` where the catalogue has
/// it, else the message names the nearest known name.
std::filesystem::path resolve_model(const std::string& name_or_path);

/// The same in a given store and catalogue.
std::filesystem::path resolve_model(const std::string& name_or_path, const Store& store, const Catalog& catalog);

/// The name of the catalogue's model called `name` (an alias, perhaps), else `name` itself.
std::string canonical_name(const std::string& name, const Catalog& catalog);

/// Error not_found for a name that neither store nor catalogue knows, with the nearest that they do.
[[noreturn]] void fail_unknown_model(const std::string& name, const Store& store, const Catalog& catalog);

/// The candidate with the fewest edits (insert, delete, replace, swap of neighbours; case ignored) from `word`, or of
/// which `word` is a part; "" when none is near: more than a third of its letters would change.
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace duet
