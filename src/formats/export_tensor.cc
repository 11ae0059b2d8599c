#include "formats/export_tensor.h"

#include <algorithm>

#include "base/error.h"
#include "formats/safetensors_writer.h"

namespace duet {
namespace {

constexpr int64_t kPieceElements = 256 * 1024;  // a whole number of blocks of any type

}  // namespace

void export_tensor(const Checkpoint& checkpoint, const TensorEntry& tensor, const std::filesystem::path& out) {
  const DTypeInfo& info = dtype_info(tensor.dtype);
  if (!can_dequantize(tensor.dtype)) {
    fail(ErrorCode::kUnsupportedFeature, "{}: tensor '{}' is of type {}, which cannot be converted to F32",
         checkpoint.name(), printable(tensor.name), info.name);
  }
  SafetensorsWriter writer(out, {{tensor.name, DType::kF32, tensor.shape}});
  const int64_t elements = tensor.shape.elements();
  std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(info, std::min(elements, kPieceElements))));
  std::vector<float> values(static_cast<size_t>(std::min(elements, kPieceElements)));
  for (int64_t begin = 0; begin < elements; begin += kPieceElements) {
    const int64_t count = std::min(kPieceElements, elements - begin);
    const std::span piece = std::span(blocks).first(static_cast<size_t>(row_bytes(info, count)));
    checkpoint.read(tensor, static_cast<uint64_t>(row_bytes(info, begin)), piece);
    dequantize(tensor.dtype, piece.data(), count, values.data());
    writer.append(0, std::as_bytes(std::span(values).first(static_cast<size_t>(count))));
  }
  writer.finish();
}

}  // namespace duet
