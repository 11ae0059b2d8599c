#include "ops/context.h"

#include "base/check.h"

namespace duet {

namespace {
constexpr int64_t kAlignmentBytes = 64;
}

int64_t Arena::footprint_bytes(DType dtype, Shape shape) {
  const int64_t bytes = row_bytes(dtype_info(dtype), shape.elements());
  return (bytes + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes;
}

void Arena::reset(Device& device, int64_t bytes) {
  used_bytes_ = 0;
  if (bytes > buffer_.bytes()) {
    buffer_ = Buffer();  // the old one first: both may not fit
    buffer_ = device.allocate(bytes);
  }
}

Tensor Arena::carve(DType dtype, Shape shape) {
  const int64_t bytes = footprint_bytes(dtype, shape);
  DUET_CHECK(used_bytes_ + bytes <= buffer_.bytes());
  const Tensor tensor{buffer_.data() + used_bytes_, dtype, shape};
  used_bytes_ += bytes;
  return tensor;
}

}  // namespace duet
