#pragma once

#include <filesystem>

#include "formats/checkpoint.h"

namespace duet {

/// Writes one tensor, dequantized to F32, to a safetensors file of its own: name, shape and row order as in the
/// checkpoint. Streams in bounded pieces; a failure leaves no file. Throws unsupported_feature (a type that cannot be
/// decoded), truncated, io_error.
void export_tensor(const Checkpoint& checkpoint, const TensorEntry& tensor, const std::filesystem::path& out);

}  // namespace duet
