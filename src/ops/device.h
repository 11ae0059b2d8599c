#pragma once

#include <functional>
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

/// The tensor's values for the host to read and to change, after the work queued before: the tensor itself where the
/// host sees its memory, else copied to `room`, which grows where it is too small.
std::span<float> on_host(Ctx& ctx, const Tensor& x, std::vector<float>& room);

/// body(0) to body(count - 1), each once, on the threads of the host that the backend computes with, or the caller's
/// alone. It must not throw.
void on_threads(Ctx& ctx, int64_t count, const std::function<void(int64_t i)>& body);

/// Ids to the host, and into a tensor that is there.   ids [tensor.elements()], i32
void download_ids(Ctx& ctx, const Tensor& tensor, std::span<int32_t> ids);
void upload_ids(Ctx& ctx, std::span<const int32_t> ids, const Tensor& tensor);

}  // namespace duet::ops
