#pragma once

#include <functional>
#include <string>

#include "formats/checkpoint.h"
#include "model/decoder.h"
#include "model/packed_cache.h"

namespace duet {

/// Where the store of this user keeps the packed weights of a checkpoint for a backend, bounded by DUET_CACHE_LIMIT.
/// `say` gets lines for people. Throws not_found (there is no place for a store), bad_value (DUET_CACHE_LIMIT),
/// unsupported_feature (a file of the checkpoint has no identity).
PackedCachePlace packed_place(const Checkpoint& checkpoint, const Backend& backend, const DecoderOptions& options,
                              std::function<void(const std::string& line)> say);

}  // namespace duet
