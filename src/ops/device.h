#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "ops/context.h"

namespace duet::ops {

/// The memory that a backend computes in.
Device& device_of(Backend& backend);
/// The name of its arithmetic, with the version (backend.h).
std::string_view arithmetic_of(const Backend& backend);

/// Host values to a tensor in the arena.   values [shape.elements()]
Tensor upload(Ctx& ctx, std::span<const float> values, Shape shape);

/// A float32 tensor to the host; waits for the work queued before.   out [x.elements()]
void download(Ctx& ctx, const Tensor& x, std::span<float> out);

/// The same for ids: to the host, and into a tensor that is there.   ids [tensor.elements()], i32
void download_ids(Ctx& ctx, const Tensor& tensor, std::span<int32_t> ids);
void upload_ids(Ctx& ctx, std::span<const int32_t> ids, const Tensor& tensor);

}  // namespace duet::ops
