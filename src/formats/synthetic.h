#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "tensor/shape.h"

namespace duet {

/// A tensor that is in no file: bf16 values drawn evenly from centre - spread to centre + spread.
struct SyntheticTensor {
  std::string name;
  Shape shape;
  float centre = 0, spread = 0;

  uint64_t bytes() const { return static_cast<uint64_t>(shape.elements()) * 2; }
};

/// A file of such tensors, one behind the other, that is computed where it is read: each value is a function of the
/// seed, its tensor's name and its place.
std::unique_ptr<ByteSource> synthetic_source(std::vector<SyntheticTensor> tensors, uint64_t seed);

}  // namespace duet
