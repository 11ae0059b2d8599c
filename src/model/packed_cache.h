#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/types.h"
#include "base/error.h"
#include "base/file.h"
#include "model/packed_form.h"

namespace duet {

class Backend;

// The packed weights of a model as a file, so that a start reads them as they will lie in memory (docs/formats.md has
// the format). Damage is found when a piece is read, by its checksum; sizes are those that type and shape demand, or
// the file is no cache.

/// A packed cache that cannot be used: it is damaged, cut, of another model or version, or cannot be read.
class PackedCacheError : public Error {
 public:
  using Error::Error;
};

/// A packed matrix in a cache.
struct PackedEntry {
  PackedForm form;
  int64_t rows = 0, cols = 0;
  int64_t offset = 0, bytes = 0;  // in the file
  size_t first_sum = 0;           // of its pieces' checksums
};

/// A cache that is open for reading, by pread. Thread-safe.
class PackedCacheFile {
 public:
  /// Reads the index. Throws PackedCacheError; not_found where there is no file.
  PackedCacheFile(const std::filesystem::path& path, const std::string& key);
  const std::string& name() const { return file_->name(); }
  /// nullptr: the cache lacks it.
  const PackedEntry* find(const std::string& weight) const;
  /// Bytes from `begin` of the packed form, of whole pieces (PackedReader). Throws PackedCacheError.
  void read(const PackedEntry& entry, int64_t begin, std::span<std::byte> out) const;

 private:
  void read_index(const std::string& key);

  std::unique_ptr<ByteSource> file_;
  std::unordered_map<std::string, PackedEntry> entries_;
  std::vector<uint64_t> sums_;
};

/// Writes a cache, which appears under its name with commit(). Every function throws io_error or not_found.
class PackedCacheWriter {
 public:
  PackedCacheWriter(const std::filesystem::path& path, std::string key);
  void add(const std::string& weight, Backend& backend, const PackedWeight& packed);
  void commit();

 private:
  OutputFile file_;
  std::string key_, section_;
  int64_t end_ = 0;
  std::vector<std::pair<std::string, PackedEntry>> entries_;
  std::vector<uint64_t> sums_;
};

/// Where a model's packed weights are kept between starts.
struct PackedCachePlace {
  std::filesystem::path file;
  std::string key;  // of the model's bytes and all else that the packed form depends on
  /// Asked before a cache of about `bytes` is written; false: it is not.
  std::function<bool(int64_t bytes)> make_room;
  /// Told that the cache has served.
  std::function<void()> used;
  /// A line for people: what was ignored, and why.
  std::function<void(const std::string& line)> say;
};

/// The cache in one load of a model: it serves the weights, or it is written with what was packed. What goes wrong with
/// it is said and costs the cache, never the load.
class PackedCache {
 public:
  /// Opens the cache, or begins one for about `bytes` of weights. No place: nothing is kept.
  PackedCache(const PackedCachePlace* place, int64_t bytes);
  /// The cache that serves; nullptr: weights are packed.
  const std::shared_ptr<const PackedCacheFile>& serving() const { return serving_; }
  /// The serving cache turned out damaged: it is ignored and written anew.
  void rebuild(const PackedCacheError& reason);
  void keep(const std::string& weight, Backend& backend, const PackedWeight& packed);
  /// After a load that only wrote: what was written serves from now on. Throws io_error where that could not be.
  void serve_what_was_written();
  /// After the load: what was written becomes visible. Returns whether the cache served.
  bool finish();

 private:
  void begin_writing();
  void give_up(const Error& error);

  const PackedCachePlace* place_;
  int64_t bytes_;
  std::shared_ptr<const PackedCacheFile> serving_;
  std::unique_ptr<PackedCacheWriter> writer_;
};

}  // namespace duet
