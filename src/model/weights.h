#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/device.h"
#include "formats/checkpoint.h"
#include "model/expert_slots.h"
#include "model/packed_cache.h"
#include "model/registry.h"
#include "ops/linear.h"
#include "tensor/tensor.h"

namespace duet {

class QuantizedRows;

/// Brings the tensors of a described checkpoint to a backend: matrices packed, vectors as float32 in device memory.
/// Reads with pread in bounded pieces; nothing of the file is kept beside the packed form.
class WeightLoader {
 public:
  WeightLoader(Backend& backend, Device& device, const Checkpoint& checkpoint, const ModelDescription& model,
               Activations activations, std::function<void(int64_t, int64_t)> progress, PackedCache& cache,
               int64_t expert_slots = 0);

  /// `prefix`.weight packed, with `prefix`.bias where the description has one.
  Linear linear(const std::string& prefix);
  /// The same for several matrices that one operation multiplies with, of one type. Without biases.
  std::vector<std::shared_ptr<const PackedWeight>> alike(const std::vector<std::string>& prefixes);
  /// Whether mixtures get slots for some of their experts (DecoderOptions::expert_slots).
  bool has_expert_slots() const { return expert_slots_ > 0; }
  /// The experts of a layer by the names of their parts, each as in alike(). nullptr: they were written to the cache,
  /// and serve in the next load.
  std::shared_ptr<ExpertSlots> slots(const std::array<std::vector<std::string>, ExpertSlots::kParts>& prefixes);
  /// What reads experts; nullptr: nothing does.
  const std::shared_ptr<ExpertReader>& expert_reader() const { return expert_reader_; }
  /// A vector in float32.
  Tensor vector(const std::string& canonical);
  /// A vector of n ones, for a norm without a weight.
  Tensor ones(int64_t n);
  bool has(const std::string& canonical) const { return model_.find(canonical) != nullptr; }

  int64_t packed_bytes() const { return packed_bytes_; }
  /// The vectors' memory, to be kept as long as the tensors are used.
  std::vector<Buffer> take_buffers() { return std::move(buffers_); }

 private:
  const TensorPlan& plan(const std::string& canonical) const;
  /// Where the rows of a stored matrix come from: rows [first, first + count) in the type that they are packed in.
  struct StoredRows {
    PackedForm form;
    int64_t row_bytes;
    std::function<void(int64_t first, int64_t count, std::span<std::byte> out)> read;
    std::vector<std::byte> table = {};
  };
  StoredRows plain_rows(const TensorPlan& plan) const;
  static StoredRows quantized_rows(std::shared_ptr<const QuantizedRows> rows);
  std::shared_ptr<const PackedWeight> pack(const TensorPlan& matrix, const StoredRows& stored);
  /// Packs the matrices one after the other.
  void pack_alike(const std::vector<std::string>& prefixes,
                  const std::function<void(std::shared_ptr<const PackedWeight>)>& sink);
  /// Throws PackedCacheError.
  void check_alike(const PackedForm& form, const PackedForm& first, const std::string& prefix) const;
  /// What the serving cache has of a matrix. Throws PackedCacheError.
  const PackedEntry& entry_of(const TensorPlan& matrix) const;
  /// From the serving cache. Throws PackedCacheError.
  std::shared_ptr<const PackedWeight> restore(const TensorPlan& matrix);
  std::shared_ptr<const PackedWeight> counted(const TensorPlan& matrix, std::shared_ptr<const PackedWeight> packed);
  /// Some bytes more of `matrix` are there: `done` of its `all`. Tells it from the loading thread alone.
  void report_part(const TensorPlan& matrix, int64_t done, int64_t all);
  void read_rows(const StoredRows& stored, const TensorPlan& plan, int64_t begin, int64_t count,
                 std::span<std::byte> out) const;
  void read_transposed_rows(const TensorPlan& plan, int64_t begin, int64_t count, std::span<std::byte> out) const;
  Tensor to_device(const std::vector<float>& values);
  void report(int64_t bytes);

  Backend& backend_;
  Device& device_;
  const Checkpoint& checkpoint_;
  const ModelDescription& model_;
  Activations activations_;
  std::function<void(int64_t, int64_t)> progress_;
  PackedCache& cache_;
  int64_t expert_slots_;
  std::shared_ptr<ExpertReader> expert_reader_;
  std::thread::id thread_ = std::this_thread::get_id();
  int64_t done_bytes_ = 0, total_bytes_ = 0, packed_bytes_ = 0;
  std::vector<Buffer> buffers_;
};

}  // namespace duet
