#include "report/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "backend/limits.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/os_memory.h"
#include "report/compare.h"
#include "report/machines.h"
#include "tensor/dtype.h"

namespace duet {
namespace {

constexpr double kReadSeconds = 0.4, kPeakSeconds = 0.15, kGiga = 1e9;
constexpr double kMostGiga = 1e6;
/// Types that weights are often kept in, from the largest.
constexpr DType kWeightTypes[] = {DType::kQ8_0, DType::kQ6_K, DType::kQ5_K, DType::kQ4_K, DType::kQ3_K, DType::kQ2_K};
constexpr DType kKvTypes[] = {DType::kF16, DType::kQ8_0};

double to_double(int64_t value) { return static_cast<double>(value); }

double parse_giga(std::string_view text, const std::string& all) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0) || value > kMostGiga) {
    std::vector<std::string> names;
    for (const KnownMachine& known : known_machines()) names.push_back(known.name);
    throw Error(
        ErrorCode::kBadValue,
        fmt::format("--machine '{}': 'this', GB of memory and GB/s of bandwidth as in 64:80, or one of these is "
                    "wanted: {}",
                    printable(all), fmt::join(names, ", ")),
        "duet plan --machines says what they are");
  }
  return value;
}

double decode_rate(const ModelSpec& spec, const ModelPlan& plan, int64_t depth, int64_t sequences,
                   int64_t token_bytes) {
  if (plan.machine.read_bytes_per_second <= 0) return 0;
  const SpeedPlan speed{.prompt_tokens = 0, .answer_tokens = 0, .depth_tokens = depth, .sequences = sequences};
  const StepWork step = step_work(spec, plan.work, token_bytes, speed);
  return to_double(sequences) * plan.machine.read_bytes_per_second /
         to_double(std::max<int64_t>(1, step.writing_bytes));
}

double prefill_rate(const ModelSpec& spec, const ModelPlan& plan, int64_t token_bytes) {
  const Machine& machine = plan.machine;
  if (machine.int8_macs_per_second <= 0 || machine.f32_macs_per_second <= 0) return 0;
  const SpeedPlan speed{.prompt_tokens = ModelPlan::kPromptTokens};
  const StepWork work = step_work(spec, plan.work, token_bytes, speed);
  return to_double(speed.prompt_tokens) / (to_double(work.reading_native_macs) / machine.int8_macs_per_second +
                                           to_double(work.reading_float_macs) / machine.f32_macs_per_second);
}

/// The largest value from 1 to `most` with which it fits, in steps of `step`; 0 = none.
template <typename Total>
int64_t largest_that_fits(int64_t most, int64_t step, int64_t memory, const Total& total) {
  int64_t low = 0, high = most / step;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (total(middle * step) <= memory) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low * step;
}

/// Each change by itself, from what costs least in quality to what costs most.
std::vector<Advice> find_advice(const ModelDescription& model, const MemoryPlanOptions& options,
                                const ModelPlan& plan) {
  const int64_t memory = plan.machine.memory_bytes;
  std::vector<Advice> advice;
  const auto add = [&](std::string change, int64_t total) {
    if (total < plan.memory.total()) advice.push_back({std::move(change), total, total <= memory});
  };
  const auto total_with = [&](const MemoryPlanOptions& changed) { return plan_memory(model, changed).total(); };
  MemoryPlanOptions changed = options;
  const auto with_context = [&](int64_t tokens) {
    changed.context_tokens = tokens;
    return total_with(changed);
  };
  const int64_t context = largest_that_fits(
      plan.memory.context_tokens, std::min(plan.memory.context_tokens, KvView::kPageTokens), memory, with_context);
  if (context > 0) add(fmt::format("--ctx {}", context), with_context(context));
  changed = options;
  if (options.sequences > 1) {
    const auto with_sequences = [&](int64_t count) {
      changed.sequences = count;
      return total_with(changed);
    };
    const int64_t count = std::max<int64_t>(1, largest_that_fits(options.sequences, 1, memory, with_sequences));
    add(fmt::format("--parallel {}", count), with_sequences(count));
    changed = options;
  }
  for (const DType type : kKvTypes) {
    changed.arithmetic.kv_type = type;
    try {
      add(fmt::format("--kv-type {}", dtype_info(type).name), total_with(changed));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupportedFeature) throw;
    }
  }
  changed = options;
  int64_t experts = 0, top_k = 0;
  for (const LayerSpec& layer : model.spec.layers) {
    if (const auto* moe = std::get_if<MoeFfn>(&layer.ffn)) {
      experts = std::max(experts, moe->experts);
      top_k = std::max(top_k, moe->top_k);
    }
  }
  if (experts > 0 && options.arithmetic.expert_slots == 0) {
    const auto with_slots = [&](int64_t count) {
      changed.arithmetic.expert_slots = count;
      return total_with(changed);
    };
    const int64_t slots = std::max(top_k, largest_that_fits(experts - 1, 1, memory, with_slots));
    if (slots < experts) {
      constexpr int64_t kMega = 1'000'000;
      const bool mtp = options.arithmetic.mtp;
      const int64_t bytes = routed_expert_bytes(model, slots, mtp), megabytes = (bytes + kMega - 1) / kMega;
      const bool same = expert_slots_for(model, megabytes * kMega, mtp) == slots;
      add(same ? fmt::format("--expert-memory {}MB", megabytes) : fmt::format("--expert-memory {}", bytes),
          with_slots(slots));
    }
  }
  for (const DType type : kWeightTypes) {
    const DTypeInfo& info = dtype_info(type);
    int64_t weights = 0;
    for (const TensorPlan& tensor : model.tensors) {
      if (!options.arithmetic.mtp && tensor.canonical.starts_with("mtp.")) continue;
      const bool whole = !tensor.is_vector && tensor.shape[1] % info.block_size == 0;
      const int64_t smaller = whole ? packed_bytes(info, tensor.shape[0], tensor.shape[1]) : tensor.memory_bytes();
      weights += std::min(smaller, tensor.memory_bytes());
    }
    const int64_t total = plan.memory.total() - plan.memory.weights.total() + weights;
    if (total > memory && type != kWeightTypes[std::size(kWeightTypes) - 1]) continue;
    add(fmt::format("weights as {}", info.name), total);
    break;
  }
  return advice;
}

}  // namespace

Machine measure_machine(ThreadPool& pool, const Cancelled& cancelled, const BenchProgress& progress) {
  constexpr int64_t kSteps = 2;
  const auto step = [&](int64_t done) {
    if (cancelled && cancelled()) throw Error(ErrorCode::kCancelled, "interrupted");
    if (progress) progress("measuring this machine", done, kSteps);
  };
  Machine machine;
  machine.name = cpu_name();
  const uint64_t free = available_memory_bytes();
  if (free != UINT64_MAX) machine.memory_bytes = static_cast<int64_t>(free);
  step(0);
  machine.read_bytes_per_second = ReadProbe(pool, kReadProbeBytes, kReadSeconds).rate(false, kReadSeconds);
  step(1);
  for (const PeakRate& peak : measure_peaks(pool, kPeakSeconds)) {
    if (peak.arithmetic == "int8") machine.int8_macs_per_second = peak.macs_per_second;
    if (peak.arithmetic == "f32") machine.f32_macs_per_second = peak.macs_per_second;
  }
  step(kSteps);
  return machine;
}

Machine parse_machine(const std::string& text) {
  for (const KnownMachine& known : known_machines()) {
    if (known.name == text) return known.machine;
  }
  const size_t colon = std::min(text.find(':'), text.size());
  Machine machine;
  machine.name = text;
  machine.memory_bytes = static_cast<int64_t>(parse_giga(std::string_view(text).substr(0, colon), text) * kGiga);
  if (colon < text.size())
    machine.read_bytes_per_second = parse_giga(std::string_view(text).substr(colon + 1), text) * kGiga;
  return machine;
}

ModelPlan plan_model(const Checkpoint& checkpoint, const ModelDescription& model, const MemoryPlanOptions& options,
                     Machine machine) {
  ModelPlan plan;
  plan.name = checkpoint.name();
  plan.architecture = model.spec.architecture;
  plan.types = weight_types(checkpoint);
  for (const TensorEntry& tensor : checkpoint.tensors()) plan.parameters += tensor.shape.elements();
  plan.memory = plan_memory(model, options);
  plan.work = weight_work(model, options.arithmetic.activations);
  plan.expert_slots = options.arithmetic.expert_slots;
  plan.machine = std::move(machine);
  const int64_t token_bytes = state_layout(model.spec, options.arithmetic).token_bytes();
  plan.decode_tps = decode_rate(model.spec, plan, 0, 1, token_bytes);
  plan.decode_full_tps = decode_rate(model.spec, plan, plan.memory.context_tokens, 1, token_bytes);
  plan.decode_all_tps =
      decode_rate(model.spec, plan, plan.memory.context_tokens / 2, plan.memory.sequences, token_bytes);
  plan.prefill_tps = prefill_rate(model.spec, plan, token_bytes);
  if (!plan.fits()) plan.advice = find_advice(model, options, plan);
  return plan;
}

}  // namespace duet
