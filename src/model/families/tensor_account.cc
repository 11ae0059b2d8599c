#include "model/families/tensor_account.h"

#include <utility>

#include "base/error.h"

namespace duet {
namespace {

bool is_plain_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

bool is_matrix_dtype(DType dtype) {
  if (is_plain_float(dtype)) return true;
  // Q8_1 and Q8_K hold activations; the plain integers and float64 are no weights of a model.
  if (dtype == DType::kQ8_1 || dtype == DType::kQ8_K) return false;
  return dtype_info(dtype).block_size > 1 && can_dequantize(dtype);
}

const std::string& file_of(const Checkpoint& checkpoint, const TensorEntry& entry) {
  return checkpoint.files()[static_cast<size_t>(entry.file)]->name();
}

}  // namespace

void require_vector_dtype(const Checkpoint& checkpoint, const TensorEntry& entry) {
  if (is_plain_float(entry.dtype)) return;
  fail(ErrorCode::kBadDtype, "{}: tensor '{}' has type {}, legal are f32, f16, bf16", file_of(checkpoint, entry),
       printable(entry.name), dtype_info(entry.dtype).name);
}

const TensorEntry& TensorAccount::take(const std::string& stored_name, const Shape& shape) {
  const TensorEntry* entry = checkpoint_.find(stored_name);
  if (entry == nullptr) {
    const std::string file = checkpoint_.files().empty() ? checkpoint_.name() : checkpoint_.files().front()->name();
    fail(ErrorCode::kMissingTensor, "{}: tensor '{}' {} is missing", file, stored_name, shape.str());
  }
  taken_.insert(stored_name);
  if (entry->shape != shape) {
    fail(ErrorCode::kShapeMismatch, "{}: tensor '{}' is {}, expected {}", file_of(checkpoint_, *entry), stored_name,
         entry->shape.str(), shape.str());
  }
  return *entry;
}

void TensorAccount::add(std::string canonical, const std::string& stored, const Shape& shape, bool is_matrix,
                        RowMove move, int64_t heads) {
  const TensorEntry& entry = take(stored, shape);
  if (!is_matrix) {
    require_vector_dtype(checkpoint_, entry);
  } else if (!is_matrix_dtype(entry.dtype)) {
    fail(ErrorCode::kBadDtype, "{}: tensor '{}' has type {} ({}), which no weight matrix can have",
         file_of(checkpoint_, entry), stored, dtype_info(entry.dtype).name,
         entry.dtype == DType::kI64 ? "I64" : "not a weight type");
  }
  plans_.push_back({std::move(canonical), &entry, shape, move, heads});
}

void TensorAccount::matrix(const std::string& canonical, const std::string& gguf_name, Shape shape, bool bias,
                           RowMove move, int64_t heads) {
  const std::string& stored = gguf_ ? gguf_name : canonical;
  add(canonical + ".weight", stored + ".weight", shape, true, move, heads);
  if (bias) add(canonical + ".bias", stored + ".bias", Shape{shape[0]}, false, move, heads);
}

void TensorAccount::vector(const std::string& canonical, const std::string& gguf_name, int64_t n) {
  add(canonical + ".weight", (gguf_ ? gguf_name : canonical) + ".weight", Shape{n}, false, RowMove::kNone, 0);
}

std::vector<TensorPlan> TensorAccount::close() {
  for (const TensorEntry& entry : checkpoint_.tensors()) {
    if (!taken_.contains(entry.name)) {
      fail(ErrorCode::kUnexpectedTensor, "{}: tensor '{}' {} is not explained by the configuration",
           file_of(checkpoint_, entry), printable(entry.name), entry.shape.str());
    }
  }
  return std::move(plans_);
}

}  // namespace duet
