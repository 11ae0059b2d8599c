#include "hub/listing.h"

#include "base/error.h"
#include "base/progress.h"
#include "hub/resolve.h"

namespace duet {
namespace {

ListedModel listed(const StoredModel& model, const Store& store) {
  ListedModel out{model.name, model.title, model.family, model.architecture, model.bytes, model.licence, "", "", {}};
  const StoredState state = store.state(model);
  out.state = stored_state_name(state);
  if (state != StoredState::kMissing && model.problem.empty()) out.path = store.path_of(model);
  switch (state) {
    case StoredState::kReady:
      break;
    case StoredState::kMissing:
      out.detail = fmt::format("there is nothing at {}", store.path_of(model).string());
      break;
    case StoredState::kChanged:
      out.detail = fmt::format("{} was adopted as it was earlier; `duet pull --path` refreshes the entry",
                               model.adopted.string());
      break;
    case StoredState::kDamaged:
      out.detail = model.problem.empty() ? fmt::format("{} should have {} bytes", out.path.string(), model.bytes)
                                         : model.problem;
      break;
  }
  return out;
}

}  // namespace

std::vector<ListedModel> list_models(const Store& store, const Catalog& catalog) {
  std::vector<ListedModel> out;
  const std::vector<StoredModel> stored = store.models();
  for (const CatalogModel& model : catalog.models) {
    ListedModel entry{
        model.name, model.title, model.family, model.architecture, model.bytes, model.licence, "available", "", {}};
    for (const StoredModel& here : stored) {
      if (here.name != model.name) continue;
      entry = listed(here, store);
      if (here.problem.empty()) continue;
      entry.bytes = model.bytes;
    }
    if (entry.state == "available") {
      if (const uint64_t bytes = store.downloaded_bytes(model.sha256); bytes > 0) {
        entry.state = "partial";
        entry.detail = fmt::format("{} of it are here; `duet pull {}` goes on, `duet rm {}` gives up",
                                   human_bytes(bytes), model.name, model.name);
      }
    }
    entry.is_default = model.name == catalog.default_name;
    out.push_back(std::move(entry));
  }
  for (const StoredModel& here : stored) {
    const CatalogModel* known = catalog.find(here.name);
    if (known == nullptr || known->name != here.name) out.push_back(listed(here, store));
  }
  return out;
}

std::vector<std::string> model_names(const Store& store, const Catalog& catalog) {
  std::vector<std::string> names;
  for (const ListedModel& model : list_models(store, catalog)) names.push_back(model.name);
  return names;
}

Removed remove_model(const std::string& name, const Store& store, const Catalog& catalog) {
  Removed removed;
  removed.name = canonical_name(name, catalog);
  const CatalogModel* known = catalog.find(removed.name);
  const auto stored = store.find(removed.name);
  if (!stored && known == nullptr) fail_unknown_model(name, store, catalog);
  bool had_download = false;
  if (known != nullptr && store.downloaded_bytes(known->sha256) > 0) {
    removed.freed_bytes += store.remove_download(known->sha256);
    had_download = true;
  }
  if (!stored) {
    if (had_download) return removed;
    throw Error(ErrorCode::kNotFound, fmt::format("model '{}' is not on this machine", removed.name),
                "`duet list` shows what is");
  }
  const Removal removal = store.remove(removed.name);
  removed.freed_bytes += removal.freed_bytes;
  removed.kept = removal.kept;
  removed.shared = removal.shared;
  return removed;
}

}  // namespace duet
