#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace duet {

/// A tensor as a safetensors header lists it.
struct SafetensorsTensor {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t offset;  // from the start of the file
  uint64_t bytes;
};

/// A checked safetensors header: every byte behind it belongs to exactly one tensor. Reads no tensor data.
struct SafetensorsFile {
  std::vector<SafetensorsTensor> tensors;                     // header order
  std::vector<std::pair<std::string, std::string>> metadata;  // of "__metadata__"
};

/// Caps: header 16 MiB, 100,000 tensors, rank 8. JSON syntax is judged before meaning, tensors in header order.
SafetensorsFile parse_safetensors(const ByteSource& source);

/// "BF16", ... as headers spell it; empty for a type that safetensors files cannot hold.
std::string_view safetensors_dtype_name(DType dtype);

}  // namespace duet
