#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "formats/checkpoint.h"
#include "model/registry.h"

namespace duet {

/// Takes a checkpoint's tensors one by one under their canonical names and refuses what is left over.
/// Canonical names are those of the Hugging Face files, without ".weight" in the calls here.
class TensorAccount {
 public:
  explicit TensorAccount(const Checkpoint& checkpoint)
      : checkpoint_(checkpoint), gguf_(checkpoint.metadata() != nullptr) {}

  /// A matrix [out, in] and, where asked for, its bias [out]; both move alike.
  void matrix(const std::string& canonical, const std::string& gguf_name, Shape shape, bool bias = false,
              RowMove move = RowMove::kNone, int64_t heads = 0);
  /// A vector [n] in a plain floating-point type.
  void vector(const std::string& canonical, const std::string& gguf_name, int64_t n);
  /// A tensor of this stored name, where there is one, is known and not needed.
  void discard(const std::string& stored_name) { taken_.insert(stored_name); }

  /// Throws unexpected_tensor for the first tensor, in file order, that nobody took.
  std::vector<TensorPlan> close();

 private:
  const TensorEntry& take(const std::string& stored_name, const Shape& shape);
  void add(std::string canonical, const std::string& stored, const Shape& shape, bool is_matrix, RowMove move,
           int64_t heads);

  const Checkpoint& checkpoint_;
  bool gguf_;
  std::unordered_set<std::string> taken_;
  std::vector<TensorPlan> plans_;
};

/// Norms and biases must be f32, f16 or bf16: throws bad_dtype.
void require_vector_dtype(const Checkpoint& checkpoint, const TensorEntry& entry);

}  // namespace duet
