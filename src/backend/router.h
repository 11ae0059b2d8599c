#pragma once

#include "backend/types.h"

namespace duet {

/// route_top_k() for one row, on host memory: the definition that backends on the host share.
///   logits [experts], ids and weights [top_k]
void route_row(const float* logits, int64_t experts, RouterScore score, int64_t top_k, int32_t* ids,
               float* weights) noexcept;

}  // namespace duet
