#include "hub/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "hub/manifest.h"

namespace duet {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_system(const fs::path& path, std::string_view doing, const std::error_code& error) {
  fail(ErrorCode::kIoError, "{}: {}: {}", path.string(), doing, error.message());
}

/// The entries of a folder; none when it is absent. Throws io_error.
std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  fs::directory_iterator at(folder, error);
  if (error == std::errc::no_such_file_or_directory) return out;
  while (!error && at != fs::directory_iterator()) {
    out.push_back(at->path());
    at.increment(error);
  }
  if (error) fail_system(folder, "cannot list the folder", error);
  std::sort(out.begin(), out.end());
  return out;
}

uint64_t file_size_or_zero(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
}

/// Of everything below `folder`.
uint64_t size_below(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    total += file_size_or_zero(at->path());
  }
  return total;
}

/// So that a rename survives a power cut.
void flush_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

void remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) fail_system(path, "cannot remove", error);
}

}  // namespace

std::string_view stored_state_name(StoredState state) {
  switch (state) {
    case StoredState::kReady:
      return "ready";
    case StoredState::kMissing:
      return "missing";
    case StoredState::kChanged:
      return "changed";
    case StoredState::kDamaged:
      return "damaged";
  }
  return "unknown";
}

Store Store::from_environment() {
  if (const char* home = std::getenv("DUET_HOME"); home != nullptr && *home != '\0') return Store(fs::absolute(home));
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    throw Error(ErrorCode::kNotFound, "no place for models: neither DUET_HOME nor HOME is set",
                "set DUET_HOME to a folder of yours");
  }
  return Store(fs::absolute(home) / ".local" / "share" / "duet");
}

std::vector<StoredModel> Store::models() const {
  std::vector<StoredModel> out;
  for (const fs::path& path : files_in(home_ / "manifests")) {
    if (path.extension() != ".json" || !is_model_name(path.stem().string())) continue;  // temporary files of a writer
    try {
      out.push_back(read_manifest(path, path.stem().string()));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;  // else: another process removed it just now
    }
  }
  return out;
}

std::optional<StoredModel> Store::find(const std::string& name) const {
  if (!is_model_name(name)) return std::nullopt;
  try {
    return read_manifest(manifest(name), name);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) return std::nullopt;
    throw;
  }
}

fs::path Store::path_of(const StoredModel& model) const {
  if (!model.adopted.empty()) return model.adopted;
  std::error_code ignored;
  const fs::path named = link(model.name);
  return fs::equivalent(named, blob(model.sha256), ignored) ? named : blob(model.sha256);
}

StoredState Store::state(const StoredModel& model) const {
  if (!model.problem.empty()) return StoredState::kDamaged;
  if (model.adopted.empty()) {
    std::error_code error;
    const uint64_t bytes = fs::file_size(blob(model.sha256), error);
    if (error) return StoredState::kMissing;
    return bytes == model.bytes ? StoredState::kReady : StoredState::kDamaged;
  }
  try {
    const Footprint now = footprint(model.adopted);
    const bool same = now.bytes == model.bytes && now.modified_ns == model.modified_ns;
    return same ? StoredState::kReady : StoredState::kChanged;
  } catch (const Error&) {
    return StoredState::kMissing;
  }
}

FileLock Store::lock() const {
  make_folder(home_);
  return FileLock::acquire(home_ / "lock");
}

void Store::write_entry(const StoredModel& model) const {
  make_folder(home_ / "manifests");
  if (model.adopted.empty()) {
    make_folder(home_ / "models");
    const fs::path temporary = link(model.name).string() + ".tmp";  // the store's lock is held
    std::error_code error;
    fs::remove(temporary, error);
    fs::create_symlink(fs::path("..") / "blobs" / blob(model.sha256).filename(), temporary, error);
    if (!error) fs::rename(temporary, link(model.name), error);
    if (error) fail_system(link(model.name), "cannot make the link", error);
  }
  write_file_atomically(manifest(model.name), manifest_text(model));
  flush_folder(home_ / "manifests");
}

void Store::add_file(const fs::path& file, const StoredModel& model) const {
  const FileLock held = lock();
  make_folder(home_ / "blobs");
  std::error_code error;
  fs::rename(file, blob(model.sha256), error);
  if (error) fail_system(blob(model.sha256), "cannot rename into place", error);
  flush_folder(home_ / "blobs");
  write_entry(model);
  remove_unneeded_blobs();  // what the name stood for before
}

bool Store::enter(const StoredModel& model) const {
  const FileLock held = lock();
  std::error_code error;
  if (model.adopted.empty() && !fs::exists(blob(model.sha256), error)) return false;
  write_entry(model);
  return true;
}

Removal Store::remove(const std::string& name) const {
  const FileLock held = lock();
  const auto model = find(name);
  if (!model) fail(ErrorCode::kNotFound, "no model '{}' in {}", printable(name), home_.string());
  Removal removal;
  removal.kept = model->adopted;
  remove_file(manifest(name));
  remove_file(link(name));
  if (!model->adopted.empty()) return removal;
  const auto freed = remove_unneeded_blobs();
  removal.freed_bytes = freed.value_or(0);
  std::error_code ignored;
  removal.shared = !freed || (!model->sha256.empty() && fs::exists(blob(model->sha256), ignored));
  return removal;
}

/// The bytes that no name needs, whatever left them there. The store's lock is held, so none of them is about to get a
/// name. Gives what was freed; std::nullopt, and removes nothing, when an entry cannot be read and may need any of
/// them.
std::optional<uint64_t> Store::remove_unneeded_blobs() const {
  std::set<std::string> needed;
  for (const StoredModel& model : models()) {
    if (!model.problem.empty()) return std::nullopt;
    if (model.adopted.empty()) needed.insert(blob(model.sha256).filename().string());
  }
  uint64_t freed = 0;
  for (const fs::path& path : files_in(home_ / "blobs")) {
    const std::string file = path.filename().string();
    if (!file.starts_with("sha256-") || needed.contains(file)) continue;
    const uint64_t bytes = file_size_or_zero(path);
    remove_file(path);
    freed += bytes;
  }
  return freed;
}

fs::path Store::download_folder(const std::string& sha256) const { return home_ / "downloads" / ("sha256-" + sha256); }

fs::path Store::download_lock(const std::string& sha256) const {
  return home_ / "downloads" / ("sha256-" + sha256 + ".lock");
}

FileLock Store::lock_download(const std::string& sha256, const Cancelled& cancelled,
                              const std::function<void()>& waiting) const {
  make_folder(home_ / "downloads");
  return FileLock::acquire(download_lock(sha256), cancelled, waiting);
}

uint64_t Store::remove_download(const std::string& sha256) const {
  const fs::path folder = download_folder(sha256);
  if (!fs::exists(folder)) return 0;
  const auto held = FileLock::try_acquire(download_lock(sha256));
  if (!held) {
    throw Error(ErrorCode::kIoError, "this model is being pulled by another process", "stop that process first");
  }
  const uint64_t bytes = size_below(folder);
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) fail_system(folder, "cannot remove", error);
  held->remove_file();
  return bytes;
}

uint64_t Store::downloaded_bytes(const std::string& sha256) const { return size_below(download_folder(sha256)); }

Footprint footprint(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    const std::error_code error(errno, std::generic_category());
    fail(error == std::errc::no_such_file_or_directory ? ErrorCode::kNotFound : ErrorCode::kIoError,
         "{}: cannot examine: {}", path.string(), error.message());
  }
  const auto time_ns = [](const struct stat& s) {
    return int64_t{s.st_mtim.tv_sec} * 1'000'000'000 + s.st_mtim.tv_nsec;
  };
  if (S_ISREG(status.st_mode)) return {static_cast<uint64_t>(status.st_size), time_ns(status)};
  if (!S_ISDIR(status.st_mode)) fail(ErrorCode::kIoError, "{}: is neither a file nor a folder", path.string());
  Footprint sum;
  for (const fs::path& file : files_in(path)) {
    if (::stat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    sum.bytes += static_cast<uint64_t>(status.st_size);
    sum.modified_ns = std::max(sum.modified_ns, time_ns(status));
  }
  return sum;
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_system(path, "cannot make the folder", error);
}

}  // namespace duet
