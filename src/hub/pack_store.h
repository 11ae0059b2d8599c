#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.h"
#include "hub/store.h"

namespace duet {

/// A file of packed weights.
struct KeptPack {
  std::filesystem::path file;
  std::string model;        // as it was named when it was packed
  uint64_t bytes = 0;       // on disk
  int64_t used_ns = 0;      // when it served last, or was written
  bool unfinished = false;  // another process writes it, or was ended while it did
};

/// The packed weights that a store keeps between starts, packed/MODEL-HASH.pack below its folder: where they lie and
/// how much of them there may be. What is in them is for src/model.
class PackStore {
 public:
  /// The most that all files may take if DUET_CACHE_LIMIT does not say.
  static constexpr int64_t kDefaultLimitBytes = 64'000'000'000;

  explicit PackStore(const Store& store) : folder_(store.home() / "packed") {}

  const std::filesystem::path& folder() const { return folder_; }
  /// The last used first.
  std::vector<KeptPack> list() const;
  /// Removes all of them, of unfinished ones those whose writer is gone, and gives what was there.
  std::vector<KeptPack> clear() const;
  /// Where the packed weights of a model lie. `variant` tells apart what is kept of one model at the same time.
  std::filesystem::path path_of(const Checkpoint& checkpoint, std::string_view variant) const;
  /// Makes room for `file` of `bytes` below `limit_bytes`: removes what was used longest ago and what ended processes
  /// left. False, with a line to `say`: it is larger than the limit. Throws io_error.
  bool make_room(const std::filesystem::path& file, int64_t bytes, int64_t limit_bytes,
                 const std::function<void(const std::string& line)>& say) const;
  /// Notes that a file has served.
  static void touch(const std::filesystem::path& file);

  /// DUET_CACHE_LIMIT, or the default. Throws bad_value.
  static int64_t limit_from_environment();

 private:
  std::filesystem::path folder_;
};

/// "sha256-..." of a model that lies in the store, empty for others.
std::string stored_hash(const Store& store, const Checkpoint& checkpoint);

/// What the bytes of a checkpoint are told by: the hash of a stored model, of other files device, inode, size and
/// times; and its configuration. Empty where a file has no identity.
std::string checkpoint_key(const Store& store, const Checkpoint& checkpoint);

}  // namespace duet
