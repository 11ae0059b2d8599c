#pragma once

#include "backend/types.h"

namespace duet {

// How rows enter and leave the pages of KvView where memory is the host's; the kernels read pages in their own ways.

/// Stores the keys and values [Hk, D] of the token in `slot` of a page, rounded once to the pages' type.
void store_kv(const KvView& kv, std::byte* page, int64_t slot, const float* keys, const float* values) noexcept;
/// One row as the pages hold it.   out [D]
void load_key(const KvView& kv, const std::byte* page, int64_t head, int64_t slot, float* out) noexcept;
void load_value(const KvView& kv, const std::byte* page, int64_t head, int64_t slot, float* out) noexcept;

}  // namespace duet
