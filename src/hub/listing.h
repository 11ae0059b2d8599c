#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hub/catalog.h"
#include "hub/store.h"

namespace duet {

/// A model that is here, or that the catalogue could bring.
struct ListedModel {
  std::string name, title, family, architecture;
  uint64_t bytes = 0;
  Licence licence;
  std::string state;           // a StoredState's name, "available" or "partial"
  std::string detail;          // what a person should know about the state, often ""
  std::filesystem::path path;  // where the bytes are; empty when they are not here
  bool is_default = false;     // what `duet chat` takes when no model is named
};

/// The catalogue's models in its order, then the others by name.
std::vector<ListedModel> list_models(const Store& store, const Catalog& catalog);

/// Their names.
std::vector<std::string> model_names(const Store& store, const Catalog& catalog);

/// What rm did for one name.
struct Removed {
  std::string name;
  uint64_t freed_bytes = 0;
  std::filesystem::path kept;  // an adopted file, which stays where it is
  bool shared = false;         // the bytes stay: another name needs them, or may
};

/// Takes a model (name or alias) out of the store, with what an interrupted pull of it left. Throws not_found (with the
/// nearest name), io_error (it is being pulled just now).
Removed remove_model(const std::string& name, const Store& store, const Catalog& catalog);

}  // namespace duet
