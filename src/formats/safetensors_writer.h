#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace duet {

/// Writes a safetensors file whose tensors are declared first and filled piece by piece: nothing is kept in memory. The
/// file appears under its name when finish() returns; until then, and after any failure, there is none.
class SafetensorsWriter {
 public:
  struct Declared {
    std::string name;
    DType dtype;  // a type that safetensors_dtype_name() knows
    Shape shape;
  };

  /// Writes the header. Throws io_error, not_found (the folder is missing).
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<Declared>& tensors);

  /// Appends to the data of tensor number `tensor`, in its row order; pieces of several tensors may be interleaved.
  /// Throws io_error (a full disk).
  void append(size_t tensor, std::span<const std::byte> bytes);
  /// Fills bytes of tensor number `tensor` from byte `begin` of its data on: the pieces of a tensor may come in any
  /// order, each byte once, and not together with append(). Throws io_error.
  void put(size_t tensor, uint64_t begin, std::span<const std::byte> bytes);
  /// Precondition: every tensor is complete. Throws io_error.
  void finish();

 private:
  struct Region {
    uint64_t begin = 0;  // positions in the file
    uint64_t end = 0;
    uint64_t filled = 0;  // bytes that are there
  };
  OutputFile file_;
  std::vector<Region> regions_;
};

}  // namespace duet
