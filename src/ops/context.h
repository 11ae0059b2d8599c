#pragma once

#include <cstdint>

#include "backend/device.h"
#include "tensor/tensor.h"

namespace duet {

class Backend;

/// Scratch memory of one step: tensors are carved off one buffer and all given back at once.
class Arena {
 public:
  /// Makes room for `bytes`, dropping what was carved. Throws out_of_memory.
  void reset(Device& device, int64_t bytes);
  /// Uninitialised, aligned to 64 bytes. Precondition: the reserved bytes suffice (admission has counted them).
  Tensor carve(DType dtype, Shape shape);
  /// A mark to give back to: carve() after rewind(mark()) uses the same bytes again.
  int64_t mark() const { return used_bytes_; }
  void rewind(int64_t mark_bytes) { used_bytes_ = mark_bytes; }

  /// What carve() takes for a tensor.
  static int64_t footprint_bytes(DType dtype, Shape shape);

 private:
  Buffer buffer_;
  int64_t used_bytes_ = 0;
};

/// What every op needs: where to compute, and scratch for the step.
struct Ctx {
  Backend& backend;
  Arena& arena;

  Tensor scratch(Shape shape) { return arena.carve(DType::kF32, shape); }
};

}  // namespace duet
