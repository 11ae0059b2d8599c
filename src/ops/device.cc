#include "ops/device.h"

#include "backend/backend.h"
#include "base/check.h"

namespace duet::ops {

Device& device_of(Backend& backend) { return backend; }
std::string_view arithmetic_of(const Backend& backend) { return backend.arithmetic(); }

Tensor upload(Ctx& ctx, std::span<const float> values, Shape shape) {
  DUET_CHECK(static_cast<int64_t>(values.size()) == shape.elements());
  const Tensor tensor = ctx.scratch(shape);
  ctx.backend.copy_to_device(tensor.data, values.data(), tensor.bytes());
  return tensor;
}

void download(Ctx& ctx, const Tensor& x, std::span<float> out) {
  DUET_CHECK(x.dtype == DType::kF32 && static_cast<int64_t>(out.size()) == x.elements());
  ctx.backend.copy_to_host(out.data(), x.data, x.bytes());
}

std::span<float> on_host(Ctx& ctx, const Tensor& x, std::vector<float>& room) {
  DUET_CHECK(x.dtype == DType::kF32);
  const auto count = static_cast<size_t>(x.elements());
  if (std::byte* const data = ctx.backend.host_view(x.data)) {
    ctx.backend.sync();
    return {reinterpret_cast<float*>(data), count};
  }
  if (room.size() < count) room.resize(count);
  const auto values = std::span(room).first(count);
  download(ctx, x, values);
  return values;
}

void on_threads(Ctx& ctx, int64_t count, const std::function<void(int64_t i)>& body) {
  ctx.backend.on_threads(count, body);
}

void download_ids(Ctx& ctx, const Tensor& tensor, std::span<int32_t> ids) {
  DUET_CHECK(tensor.dtype == DType::kI32 && static_cast<int64_t>(ids.size()) == tensor.elements());
  ctx.backend.copy_to_host(ids.data(), tensor.data, tensor.bytes());
}

void upload_ids(Ctx& ctx, std::span<const int32_t> ids, const Tensor& tensor) {
  DUET_CHECK(tensor.dtype == DType::kI32 && static_cast<int64_t>(ids.size()) == tensor.elements());
  ctx.backend.copy_to_device(tensor.data, ids.data(), tensor.bytes());
}

}  // namespace duet::ops
