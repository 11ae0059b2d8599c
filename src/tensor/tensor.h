#pragma once

#include <cstddef>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace duet {

/// A view of dense row-major values in some device's memory; owns nothing. Whoever allocated the buffer keeps it alive.
struct Tensor {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  bool defined() const { return data != nullptr; }
  int64_t dim(int i) const { return shape[i]; }
  int64_t elements() const { return shape.elements(); }
  int64_t bytes() const { return row_bytes(dtype_info(dtype), elements()); }
  /// Only where the memory is the host's (backends do this; models never).
  float* f32() const { return reinterpret_cast<float*>(data); }
  /// Rows [begin, begin + count) of the first dimension.
  Tensor rows(int64_t begin, int64_t count) const {
    Tensor part = *this;
    part.shape = Shape{count};
    int64_t row_elements = 1;
    for (int i = 1; i < shape.rank(); ++i) {
      part.shape.push_back(shape[i]);
      row_elements *= shape[i];
    }
    part.data = data + row_bytes(dtype_info(dtype), begin * row_elements);
    return part;
  }
  /// The same elements with another shape of equal size.
  Tensor reshaped(Shape s) const { return {data, dtype, s}; }
};

}  // namespace duet
