#pragma once

#include "backend/types.h"

namespace duet {

// How rows enter and leave the pages of KvView where memory is the host's; the kernels read pages in their own ways.

/// round_row() to the pages' type, of at most 256 elements.
using KvRounding = void (*)(const float* x, int64_t elements, std::byte* out) noexcept;

/// Stores the key and the value [D] of one head of the token in `slot` of a page, rounded once to the pages' type: by
/// `round`, where a backend has the same of its own, else by round_row().
void store_kv(const KvView& kv, std::byte* page, int64_t head, int64_t slot, const float* key, const float* value,
              KvRounding round = nullptr) noexcept;
/// Asks for the lines that the key of a slot will be written to, one for each element: far from each other and, since
/// the last token, pushed out of the caches by all the weights. Stores alone would wait for them one after the other.
void fetch_key_places(const KvView& kv, const std::byte* page, int64_t head, int64_t slot) noexcept;
/// One row as the pages hold it.   out [D]
void load_key(const KvView& kv, const std::byte* page, int64_t head, int64_t slot, float* out) noexcept;
void load_value(const KvView& kv, const std::byte* page, int64_t head, int64_t slot, float* out) noexcept;

}  // namespace duet
