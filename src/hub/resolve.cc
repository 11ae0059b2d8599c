#include "hub/resolve.h"

#include <algorithm>

#include "base/error.h"
#include "base/progress.h"

namespace duet {
namespace fs = std::filesystem;
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// Optimal string alignment distance (Damerau-Levenshtein without overlapping swaps).
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> above(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

bool looks_like_path(const std::string& text) {
  return text.find('/') != std::string::npos || text.ends_with(".gguf") || text.ends_with(".safetensors") ||
         text.ends_with(".json");
}

}  // namespace

std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr size_t kMaxWord = 200;  // bounds the work; no name is that long
  if (word.empty() || word.size() > kMaxWord) return {};
  const std::string wanted = lower(word);
  std::string best;
  size_t best_edits = 0;
  for (const std::string& candidate : candidates) {
    const std::string name = lower(candidate);
    size_t distance = edits(wanted, name);
    if (distance * 3 > std::max(wanted.size(), name.size())) {
      if (wanted.size() < 3 || name.find(wanted) == std::string::npos) continue;
      distance = name.size();  // a part of the name: near, but every close spelling is nearer
    }
    if (best.empty() || distance < best_edits) {
      best = candidate;
      best_edits = distance;
    }
  }
  return best;
}

std::string canonical_name(const std::string& name, const Catalog& catalog) {
  const CatalogModel* model = catalog.find(name);
  return model != nullptr ? model->name : name;
}

void fail_unknown_model(const std::string& name, const Store& store, const Catalog& catalog) {
  std::vector<std::string> known;
  for (const CatalogModel& model : catalog.models) {
    known.push_back(model.name);
    known.insert(known.end(), model.aliases.begin(), model.aliases.end());
  }
  for (const StoredModel& model : store.models()) known.push_back(model.name);
  const std::string nearest = nearest_name(name, known);
  const std::string suggestion = nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
  throw Error(ErrorCode::kNotFound, fmt::format("no model or file is called '{}'{}", printable(name), suggestion),
              "`duet list` shows the models; a model file or folder may be named by its path");
}

fs::path resolve_model(const std::string& name_or_path, const Store& store, const Catalog& catalog) {
  std::error_code ignored;
  if (fs::exists(name_or_path, ignored)) return name_or_path;
  const std::string name = canonical_name(name_or_path, catalog);
  if (const auto model = store.find(name)) {
    const std::string again = catalog.find(name) != nullptr ? fmt::format("`duet pull {}` fetches it again", name)
                                                            : fmt::format("`duet rm {}` removes the entry", name);
    switch (store.state(*model)) {
      case StoredState::kReady:
      case StoredState::kChanged:
        return store.path_of(*model);  // a changed file is judged like any other when it is opened
      case StoredState::kMissing:
        if (!model->adopted.empty()) {
          throw Error(
              ErrorCode::kNotFound,
              fmt::format("model '{}' was adopted from {}, where there is nothing now", name, model->adopted.string()),
              fmt::format("put it back, or forget it with `duet rm {}`", name));
        }
        throw Error(ErrorCode::kNotFound,
                    fmt::format("the file of model '{}' is gone: {}", name, store.path_of(*model).string()), again);
      case StoredState::kDamaged:
        throw Error(ErrorCode::kHashMismatch,
                    model->problem.empty() ? fmt::format("the file of model '{}' is damaged: {} should have {} bytes",
                                                         name, store.path_of(*model).string(), model->bytes)
                                           : fmt::format("the entry of model '{}' in {} cannot be read: {}", name,
                                                         store.home().string(), model->problem),
                    again);
    }
  }
  if (const CatalogModel* model = catalog.find(name)) {
    throw Error(ErrorCode::kNotFound, fmt::format("model '{}' is not on this machine yet", name),
                fmt::format("`duet pull {}` fetches it ({}, licence: {})", name, human_bytes(model->bytes),
                            model->licence.model));
  }
  if (looks_like_path(name_or_path)) {
    fail(ErrorCode::kNotFound, "{}: no such file or folder", printable(name_or_path, 300));
  }
  fail_unknown_model(name_or_path, store, catalog);
}

fs::path resolve_model(const std::string& name_or_path) {
  std::error_code ignored;
  if (fs::exists(name_or_path, ignored)) return name_or_path;  // also where there is no store to look into
  return resolve_model(name_or_path, Store::from_environment(), load_catalog());
}

}  // namespace duet
