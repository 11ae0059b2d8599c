#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "model/packed_cache.h"
#include "ops/moe.h"

namespace duet {

/// How often experts were there when rows chose them.
struct ExpertStats {
  int64_t uses = 0;  // experts that a layer's step needed, each counted once
  int64_t reads = 0;
  int64_t read_bytes = 0;
  double hit_rate() const { return uses == 0 ? 1.0 : 1.0 - static_cast<double>(reads) / static_cast<double>(uses); }
};

/// The threads that read experts, and what they have read: one for all layers of a model.
class ExpertReader {
 public:
  /// Throws out_of_memory.
  explicit ExpertReader(std::shared_ptr<const PackedCacheFile> file);
  ~ExpertReader();
  ExpertReader(const ExpertReader&) = delete;
  ExpertReader& operator=(const ExpertReader&) = delete;

  const PackedCacheFile& file() const { return *file_; }
  /// Reads several packed forms at once, in the background. wait() before the memory is used or given up.
  class Batch {
   public:
    explicit Batch(ExpertReader& reader) : reader_(reader) {}
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    ~Batch() { settle(); }
    void add(const PackedEntry& entry, std::span<std::byte> out);
    /// Returns when all are read. Throws the first error.
    void wait();

   private:
    void settle() noexcept;
    ExpertReader& reader_;
    std::mutex mutex_;
    std::condition_variable done_;
    int64_t open_ = 0;
    std::optional<Error> error_;
  };
  void count(int64_t uses, int64_t reads, int64_t read_bytes);
  ExpertStats stats() const;

 private:
  void work();
  void end() noexcept;

  std::shared_ptr<const PackedCacheFile> file_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool ends_ = false;
  std::vector<std::thread> threads_;
  std::atomic<int64_t> uses_ = 0, reads_ = 0, read_bytes_ = 0;
};

/// The experts of a layer that do not all lie in memory: a few slots, filled from the packed cache when rows choose an
/// expert. What was used longest ago makes room. Results do not depend on what lies where: a row is computed by its
/// experts one by one, in passes, and mixed afterwards.
class ExpertSlots {
 public:
  static constexpr size_t kParts = 3;                                   // gate, up, down
  using Entries = std::array<std::vector<const PackedEntry*>, kParts>;  // [part][expert], of one type each

  /// Takes the memory of `slots` experts. Throws out_of_memory.
  ExpertSlots(Backend& backend, std::shared_ptr<ExpertReader> reader, Entries entries, int64_t slots,
              Activations activations);

  /// The slots of a part as if they were its experts.
  const ops::ExpertLinear& part(size_t index) const { return layers_[index]; }
  int64_t slots() const { return static_cast<int64_t>(expert_in_.size()); }
  int64_t bytes() const;

  /// Calls compute(places) until each of `chosen` (experts, as many as rows times top_k) was in one pass: places[i] is
  /// the slot of chosen[i] where it is in the pass, else -1. Missing experts are read while others are computed. Throws
  /// what reading throws (io_error, truncated, hash_mismatch), with nothing of that pass computed.
  void run(std::span<const int32_t> chosen, const std::function<void(std::span<const int32_t> places)>& compute);

 private:
  struct Reads;
  int32_t victim(const std::vector<bool>& taken) const;

  Backend& backend_;
  std::shared_ptr<ExpertReader> reader_;
  Entries entries_;
  std::mutex mutex_;  // engines of several threads may share the model
  std::array<ops::ExpertLinear, kParts> layers_;
  std::array<std::vector<std::shared_ptr<PackedWeight>>, kParts> weights_;  // the same, to be written
  std::vector<int32_t> expert_in_;                                          // [slot], -1 = none
  std::vector<int32_t> slot_of_;                                            // [expert], -1 = not in memory
  std::vector<int64_t> used_at_;                                            // [slot]
  int64_t clock_ = 0;
};

}  // namespace duet
