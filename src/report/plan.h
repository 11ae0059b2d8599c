#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "engine/memory_plan.h"
#include "report/bench.h"

namespace duet {

/// What a machine gives; 0 = not known.
struct Machine {
  std::string name;
  int64_t memory_bytes = 0;
  double read_bytes_per_second = 0;
  double int8_macs_per_second = 0, f32_macs_per_second = 0;
  std::string source = {};  // of figures that were not measured here; empty: they were, or the user gave them
};
/// This one, measured for about a second: what is free of its memory, and the limits of `pool`. Throws cancelled.
Machine measure_machine(ThreadPool& pool, const Cancelled& cancelled, const BenchProgress& progress);
/// A name of known_machines(), or "MEMORY" or "MEMORY:BANDWIDTH" in GB and GB/s: "64:80". Throws bad_value, which lists
/// the names.
Machine parse_machine(const std::string& text);

/// A change with which a model takes less.
struct Advice {
  std::string change;       // "--ctx 8192"
  int64_t total_bytes = 0;  // then
  bool fits = false;
};

struct ModelPlan {
  std::string name, architecture;
  std::string types;  // of the weights
  int64_t parameters = 0;
  MemoryPlan memory;
  WeightWork work;
  int64_t expert_slots = 0;  // of each mixture, where not all experts are in memory
  Machine machine;
  // The most that the machine's limits allow, tokens per second; 0 = not known.
  double decode_tps = 0;       // one sequence, nothing before it
  double decode_full_tps = 0;  // one sequence, its context full
  double decode_all_tps = 0;   // all sequences together, half full
  double prefill_tps = 0;      // a prompt of kPromptTokens
  /// A token at the least, milliseconds: with nothing before it, and with a full context; 0 = not known.
  double token_ms() const { return decode_tps > 0 ? 1e3 / decode_tps : 0; }
  double token_full_ms() const { return decode_full_tps > 0 ? 1e3 / decode_full_tps : 0; }
  bool fits() const { return machine.memory_bytes == 0 || memory.total() <= machine.memory_bytes; }
  std::vector<Advice> advice;  // where it does not fit

  static constexpr int64_t kPromptTokens = 512;
};

/// Throws what plan_memory() throws.
ModelPlan plan_model(const Checkpoint& checkpoint, const ModelDescription& model, const MemoryPlanOptions& options,
                     Machine machine);

}  // namespace duet
