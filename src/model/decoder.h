#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "model/batch.h"
#include "model/spec.h"
#include "ops/context.h"
#include "state/sequence_state.h"

namespace duet {

struct ModelDescription;
struct ExpertStats;
struct PackedCachePlace;
class Checkpoint;

/// How a model computes (docs/numerics.md).
struct DecoderOptions {
  Activations activations = Activations::kF32;
  bool mtp = false;             // load the head that predicts one token further, where the checkpoint has one
  DType kv_type = DType::kF32;  // of the keys and values that a sequence keeps: can_round()
  /// Experts of each mixture that are in memory at once, the others are read from the packed cache when rows choose
  /// them; 0 = all are in memory (expert_slots_for()).
  int64_t expert_slots = 0;
};

/// What the products with weights cost, beside attention: figures to hold against a machine's limits.
struct WeightWork {
  int64_t bytes = 0;        // that a token reads: all but an embedding that is not the head as well
  int64_t native_macs = 0;  // of the layers, a token: multiply-adds of integers
  int64_t float_macs = 0;   // of the layers, a token, in the arithmetic `f32`
  int64_t head_macs = 0;    // of a row of logits
  bool native_head = false;
};

/// A decoder-only language model on one backend: weights packed, ready to multiply. Immutable; shared by engines.
class Decoder {
 public:
  /// Reads and packs every weight. `progress(done_bytes, total_bytes)` may throw to cancel.
  /// Throws what reading throws (truncated, io_error), out_of_memory, and unsupported_feature (a type of keys and
  /// values that the model's heads cannot have). With a `cache` weights come from there, or are kept there; expert
  /// slots need one: io_error where it cannot be written.
  static std::shared_ptr<const Decoder> load(Backend& backend, const Checkpoint& checkpoint,
                                             const ModelDescription& model,
                                             const std::function<void(int64_t, int64_t)>& progress = {},
                                             const DecoderOptions& options = {},
                                             const PackedCachePlace* cache = nullptr);
  ~Decoder();

  const ModelSpec& spec() const;
  Backend& backend() const;
  int64_t weight_bytes() const;
  /// Whether the weights came from a packed cache.
  bool from_packed_cache() const;
  /// What reading experts has cost so far; std::nullopt where all are in memory.
  std::optional<ExpertStats> expert_stats() const;
  WeightWork weight_work() const;
  /// What a sequence of this model keeps between steps.
  const StateLayout& state_layout() const;
  /// Arena bytes that forward() of `rows` rows and head() of `head_rows` rows need.
  int64_t scratch_bytes(int64_t rows, int64_t head_rows) const;

  /// Runs the rows through all layers, appending to the states' pages; returns the rows after the final norm, [T, C] in
  /// the arena.
  Tensor forward(Ctx& ctx, const Batch& batch, const HiddenSink& hidden = {}) const;
  /// Whether forward_mtp() can be called.
  bool has_mtp() const;
  /// The head that predicts one token further, on slots whose trunk rows are known: batch.ids holds the *next* token of
  /// each position; hidden [T, C] is forward()'s result for the same rows. Appends to the head's own pages. Returns the
  /// rows [T, C] for head(), which predict the token after the next, in the arena.
  Tensor forward_mtp(Ctx& ctx, const Batch& batch, const Tensor& hidden) const;
  /// Arena bytes that forward_mtp() of `rows` rows needs on top of scratch_bytes().
  int64_t mtp_scratch_bytes(int64_t rows) const;
  /// Logits [N, V] of selected rows of forward()'s result, in the arena.
  Tensor head(Ctx& ctx, const Tensor& normed, std::span<const int32_t> rows) const;

 private:
  Decoder();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace duet
