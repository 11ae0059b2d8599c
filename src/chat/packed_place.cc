#include "chat/packed_place.h"

#include <utility>

#include "base/error.h"
#include "hub/pack_store.h"
#include "ops/linear.h"

namespace duet {

PackedCachePlace packed_place(const Checkpoint& checkpoint, const Backend& backend, const DecoderOptions& options,
                              std::function<void(const std::string& line)> say) {
  const Store store = Store::from_environment();
  const PackStore packs(store);
  const int64_t limit = PackStore::limit_from_environment();
  if (!say) say = [](const std::string&) {};
  // What is kept of one model at the same time; a file that was changed replaces what was kept of it.
  std::string variant = ops::packed_layout(backend) + (options.mtp ? "\nwith its MTP head" : "");
  for (const auto& file : checkpoint.files()) {
    if (const std::string identity = file->identity(); identity.starts_with("synthetic")) variant += "\n" + identity;
  }
  const std::string key = checkpoint_key(store, checkpoint);
  if (key.empty()) {
    fail(ErrorCode::kUnsupportedFeature, "{}: nothing tells its bytes from others, so they cannot be kept packed",
         checkpoint.name());
  }
  PackedCachePlace place;
  place.file = packs.path_of(checkpoint, variant);
  place.key = key + variant;
  place.make_room = [packs, limit, say, file = place.file](int64_t bytes) {
    return packs.make_room(file, bytes, limit, say);
  };
  place.used = [file = place.file] { PackStore::touch(file); };
  place.say = std::move(say);
  return place;
}

}  // namespace duet
