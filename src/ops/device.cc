#include "ops/device.h"

#include "backend/backend.h"
#include "base/check.h"

namespace duet::ops {

Device& device_of(Backend& backend) { return backend; }

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

}  // namespace duet::ops
