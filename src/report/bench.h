#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/limits.h"
#include "base/progress.h"
#include "chat/session.h"
#include "model/decoder.h"
#include "model/expert_slots.h"
#include "report/compare.h"
#include "report/kl.h"
#include "report/peer.h"
#include "report/speed.h"

namespace duet {

struct BenchOptions {
  SpeedPlan plan{.prompt_tokens = 512, .answer_tokens = 48};
  int repetitions = 5;
  std::vector<Peer> peers;
  std::filesystem::path peer_model;  // the GGUF file that the peers get
  std::optional<DivergenceOptions> divergence;
};

/// What this machine can do, measured beside the model: reading in every repetition, the peaks before and after.
struct MachineLimits {
  Summary read, read_one_thread;  // bytes per second; 0 without repetitions
  std::vector<double> reads;      // of `read`: around the answers of each repetition
  int64_t read_buffer_bytes = 0;  // that were read again and again
  std::vector<PeakRate> peaks;    // the larger of both
  const PeakRate& peak(std::string_view arithmetic) const;
};

/// What a model's step costs at a plan, from its shapes.
struct StepWork {
  int64_t writing_bytes = 0;        // that a step of all sequences reads: weights, and keys and values at the depth
  int64_t reading_native_macs = 0;  // of the whole prompt, as integers
  int64_t reading_float_macs = 0;   // in float32, attention included
};
StepWork step_work(const ModelSpec& spec, const WeightWork& weights, int64_t state_token_bytes, const SpeedPlan& plan);

/// Shares of the machine's limits that a speed reaches, 1 = all.
struct Reached {
  double writing = 0;  // bytes read for the answers, of what memory gave around them
  double reading = 0;  // time that the prompt's multiply-adds take at their peaks, of the time taken
};
Reached reached(const StepWork& work, const SpeedPlan& plan, const Speed& speed, const MachineLimits& limits);

/// Ours by theirs, of the runs that were neighbours.
struct SpeedRatio {
  Summary reading, writing;  // median 0: not measured
};
SpeedRatio ratio(const Speed& ours, const Speed& theirs);

struct BenchResult {
  std::string cpu;
  std::vector<std::string_view> features;
  std::string level, activations;
  int threads = 0;
  SpeedPlan plan;
  int repetitions = 0;
  ModelFigures model;
  double load_seconds = 0;             // until the model was ready
  bool from_packed_cache = false;      // the weights, not from the model's own files
  std::optional<ExpertStats> experts;  // of the measurement, where they are read from disk
  double first_token_seconds = 0;      // from the beginning of the load to the first token of an answer
  uint64_t resident_bytes = 0;         // of this process, after the measurement
  Speed speed;
  StepWork work;
  MachineLimits limits;
  Reached share;
  std::optional<Divergence> divergence;  // of our arithmetic `native` from our `f32`
  struct PeerFigures {
    std::string name;
    Speed speed;
    SpeedRatio ratio;
    std::optional<Divergence> divergence;  // from our `f32`
  };
  std::vector<PeerFigures> peers;
};

/// Told what is being done: step `done` of `total` of `what`.
using BenchProgress = std::function<void(std::string_view what, int64_t done, int64_t total)>;
/// Opens the model that is to be measured.
using SessionOpener = std::function<std::unique_ptr<Session>(const SessionOptions& options)>;

/// Loads a model and measures it, its peers and the machine in turns.
/// Throws what these throw, cancelled.
BenchResult bench(const SessionOpener& open, const SessionOptions& session_options, const BenchOptions& options,
                  const Cancelled& cancelled, const BenchProgress& progress);

}  // namespace duet
