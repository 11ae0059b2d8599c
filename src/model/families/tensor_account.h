#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "formats/checkpoint.h"
#include "model/families/quantization_config.h"
#include "model/registry.h"

namespace duet {

/// A tensor's canonical name and its names in the two kinds of files, without ".weight".
struct TensorName {
  std::string canonical, hf, gguf;
};

/// Takes a checkpoint's tensors one by one under their canonical names and refuses what is left over.
class TensorAccount {
 public:
  /// Reads quantization_config: throws what QuantizationConfig::read() throws.
  explicit TensorAccount(const Checkpoint& checkpoint);
  bool gguf() const { return gguf_; }
  /// The checkpoint has no tensors yet (model/synthetic.h): what is taken is listed for the description.
  bool lists() const { return lists_; }
  /// By its full stored name.
  bool has(const std::string& stored_name) const { return checkpoint_.find(stored_name) != nullptr; }

  /// The same, or something quantised in its place.
  bool has_in_any_form(const std::string& stored_name) const;

  /// A matrix [out, in] and, where asked for, its bias [out]; both move alike.
  void matrix(const TensorName& name, Shape shape, bool bias = false, const RowMap& rows = {});
  /// A matrix [1, n] that some files have as a vector [n].
  void row_matrix(const TensorName& name, int64_t n);
  /// Rows of a stored tensor of several matrices; `canonical` without ".weight", `stored_name` in full. The rows of all
  /// parts together must be all of it: parts do not say so, their callers do.
  void part(const std::string& canonical, const std::string& stored_name, const Shape& stored_shape, Shape shape,
            const RowMap& rows, std::optional<int64_t> transposed_from = {});
  /// The same with rows from several places, one behind the other.
  void parts(const std::string& canonical, const std::string& stored_name, const Shape& stored_shape, Shape shape,
             std::vector<RowMap> parts);
  /// A vector [n] in a plain floating-point type.
  void vector(const TensorName& name, int64_t n, Fold fold = Fold::kNone);
  /// The same under full names, of any stored shape with shape.elements() values.
  void values(const std::string& canonical, const std::string& stored_name, const Shape& stored_shape, Shape shape,
              const RowMap& rows = {}, Fold fold = Fold::kNone);
  /// A tensor of this stored name, where there is one, is known and not needed.
  void discard(const std::string& stored_name) { taken_.insert(stored_name); }

  /// All tensors whose stored names begin so; returns how many there are.
  int64_t discard_all(std::string_view prefix);

  /// Hands the plans over. Throws unexpected_tensor for the first tensor, in file order, that nobody took.
  void close(ModelDescription& model);

 private:
  const std::string& stored(const TensorName& name) const { return gguf_ ? name.gguf : name.hf; }
  const TensorEntry& take(const std::string& stored_name, const Shape& shape);
  const TensorEntry& list(const std::string& stored_name, const Shape& shape);
  void check_matrix_dtype(const TensorEntry& entry, bool transposed) const;
  void take_zero_bias(const std::string& stored_name, int64_t n);
  /// nullptr where the file has the matrix plain.
  std::shared_ptr<const QuantizedSource> quantised(const std::string& stored_name, const Shape& shape);

  const Checkpoint& checkpoint_;
  bool gguf_, lists_;
  std::vector<std::string> warnings_;
  std::optional<QuantizationConfig> quantization_;  // after warnings_, which its reading fills
  int64_t quantised_matrices_ = 0;
  std::deque<TensorEntry> listed_;  // plans point into it
  std::unordered_map<std::string, const TensorEntry*> listed_by_name_;
  std::unordered_set<std::string> taken_;
  std::vector<TensorPlan> plans_;
};

/// Norms and biases must be f32, f16 or bf16: throws bad_dtype.
void require_vector_dtype(const Checkpoint& checkpoint, const TensorEntry& entry);

}  // namespace duet
