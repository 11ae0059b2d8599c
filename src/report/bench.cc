#include "report/bench.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/file.h"
#include "base/os_memory.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{64} << 20;
constexpr double kReadSeconds = 0.12, kTrySeconds = 0.5, kPeakSeconds = 0.1;
/// What is read beside a model is as much as its step reads, within what caches can hold and what is spared for it.
constexpr int64_t kLeastReadBytes = int64_t{64} << 20, kMostReadBytes = int64_t{1} << 30;

double to_double(int64_t value) { return static_cast<double>(value); }

/// An engine, and the machine's memory before and after each of its answers, which is what limits them: what both get
/// differs from second to second.
class ProbedSubject final : public SpeedSubject {
 public:
  ProbedSubject(EngineSubject& engine, ReadProbe& probe) : engine_(engine), probe_(probe) {}
  void warm_up(const Cancelled& cancelled) override { engine_.warm_up(cancelled); }
  SpeedSample measure(uint32_t run, const Cancelled& cancelled) override {
    read_one_thread_.push_back(probe_.rate(true, kReadSeconds));
    SpeedSample sample;
    sample.reading = engine_.measure_reading(run, cancelled);
    const double before = probe_.rate(false, kReadSeconds);
    sample.writing = engine_.measure_writing(run, cancelled);
    read_.push_back((before + probe_.rate(false, kReadSeconds)) / 2);
    return sample;
  }
  const std::vector<double>& read() const { return read_; }
  Summary read_one_thread() const { return summarize(read_one_thread_); }

 private:
  EngineSubject& engine_;
  ReadProbe& probe_;
  std::vector<double> read_, read_one_thread_;
};

/// Positions that the query at `position` sees, itself among them.
int64_t visible(const AttentionMixer& mixer, int64_t position) {
  return position + 1 - AttentionSpec{.window = mixer.window, .chunk = mixer.chunk}.first_visible(position);
}

void keep_larger(std::vector<PeakRate>& peaks, const std::vector<PeakRate>& others) {
  for (size_t i = 0; i < peaks.size(); ++i) {
    peaks[i].macs_per_second = std::max(peaks[i].macs_per_second, others[i].macs_per_second);
  }
}

/// Of ours and of the peers, from our own arithmetic f32.
void measure_divergence(Session& session, const SessionOpener& open, const SessionOptions& session_options,
                        const BenchOptions& options, const Cancelled& cancelled, const BenchProgress& progress,
                        BenchResult& result) {
  const DivergenceOptions& wanted = *options.divergence;
  const int64_t total = static_cast<int64_t>(options.peers.size()) + 1;
  const auto told = [&](int64_t done) {
    if (progress) progress("comparing probabilities", done, total);
  };
  told(0);
  const Tokenizer& tokenizer = session.model().tokenizer();
  const std::vector<TokenId> bos = tokenizer.encode("", {.add_special = true});
  const bool exact = session.activations() == Activations::kF32;
  std::unique_ptr<Session> other;
  if (!exact) {
    SessionOptions f32 = session_options;
    f32.activations = "f32";
    other = open(f32);
    const std::string text = read_text_file(wanted.text, kMaxTextBytes);
    result.divergence = engine_divergence(session.engine(), other->engine(),
                                          tokenizer.encode(text, {.add_special = true}), bos, wanted.chunks, cancelled);
  }
  Engine& reference = exact ? session.engine() : other->engine();
  for (size_t i = 0; i < options.peers.size(); ++i) {
    told(static_cast<int64_t>(i) + 1);
    result.peers[i].divergence = peer_divergence(options.peers[i], options.peer_model, result.threads, reference,
                                                 result.model.vocabulary, bos, wanted, cancelled);
  }
  told(total);
}

}  // namespace

const PeakRate& MachineLimits::peak(std::string_view arithmetic) const {
  const auto found =
      std::find_if(peaks.begin(), peaks.end(), [&](const PeakRate& p) { return p.arithmetic == arithmetic; });
  DUET_CHECK(found != peaks.end());
  return *found;
}

StepWork step_work(const ModelSpec& spec, const WeightWork& weights, int64_t state_token_bytes, const SpeedPlan& plan) {
  StepWork work;
  const int64_t middle = plan.depth_tokens + (plan.answer_tokens + 1) / 2;  // tokens of a sequence, on average
  work.writing_bytes = weights.bytes + plan.sequences * middle * state_token_bytes;
  work.reading_native_macs = plan.prompt_tokens * weights.native_macs + (weights.native_head ? weights.head_macs : 0);
  work.reading_float_macs = plan.prompt_tokens * weights.float_macs + (weights.native_head ? 0 : weights.head_macs);
  for (const LayerSpec& layer : spec.layers) {
    if (const auto* delta = std::get_if<GatedDeltaNetMixer>(&layer.mixer)) {
      // S'k, S'q and the fold; the products within a chunk are few beside them
      const int64_t matrix = delta->value_heads * delta->key_dim * delta->value_dim;
      work.reading_float_macs += plan.prompt_tokens * 3 * matrix;
      work.writing_bytes += plan.sequences * matrix * static_cast<int64_t>(sizeof(float));
      continue;
    }
    const auto& mixer = std::get<AttentionMixer>(layer.mixer);
    for (int64_t i = 0; i < plan.prompt_tokens; ++i) {
      work.reading_float_macs += 2 * mixer.heads * mixer.head_dim * visible(mixer, plan.depth_tokens + i);
    }
  }
  return work;
}

Reached reached(const StepWork& work, const SpeedPlan& plan, const Speed& speed, const MachineLimits& limits) {
  Reached share;
  std::vector<double> writing;
  for (size_t i = 0; i < std::min(speed.samples.size(), limits.reads.size()); ++i) {
    const double steps = speed.samples[i].writing / to_double(plan.sequences);  // a second
    writing.push_back(steps * to_double(work.writing_bytes) / limits.reads[i]);
  }
  share.writing = summarize(std::move(writing)).median;
  const double seconds = to_double(plan.prompt_tokens) / speed.reading.median;
  share.reading = (to_double(work.reading_native_macs) / limits.peak("int8").macs_per_second +
                   to_double(work.reading_float_macs) / limits.peak("f32").macs_per_second) /
                  seconds;
  return share;
}

SpeedRatio ratio(const Speed& ours, const Speed& theirs) {
  std::vector<double> reading, writing;
  for (size_t i = 0; i < std::min(ours.samples.size(), theirs.samples.size()); ++i) {
    const SpeedSample &a = ours.samples[i], &b = theirs.samples[i];
    if (b.reading > 0) reading.push_back(a.reading / b.reading);
    if (b.writing > 0) writing.push_back(a.writing / b.writing);
  }
  return {summarize(std::move(reading)), summarize(std::move(writing))};
}

BenchResult bench(const SessionOpener& open, const SessionOptions& session_options, const BenchOptions& options,
                  const Cancelled& cancelled, const BenchProgress& progress) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  BenchResult result;
  const std::unique_ptr<Session> session = open(session_options);
  if (options.divergence && options.peers.empty() && session->activations() == Activations::kF32) {
    fail(ErrorCode::kUsageError, "--kl compares with our f32: it needs --activations native or --against");
  }
  result.load_seconds = elapsed();
  result.from_packed_cache = session->decoder().from_packed_cache();
  const int64_t vocabulary = session->model().description().spec.vocabulary;
  EngineSubject first(session->engine(), vocabulary, {.prompt_tokens = 1, .answer_tokens = 1});
  first.warm_up(cancelled);
  result.first_token_seconds = elapsed();

  EngineSubject engine(session->engine(), vocabulary, options.plan);
  result.model = describe(*session, "");
  result.work = step_work(session->model().description().spec, session->decoder().weight_work(),
                          result.model.state_token_bytes, options.plan);
  result.limits.read_buffer_bytes = std::clamp(result.work.writing_bytes, kLeastReadBytes, kMostReadBytes);
  auto probe = std::make_unique<ReadProbe>(session->pool(), result.limits.read_buffer_bytes, kTrySeconds);
  ProbedSubject ours(engine, *probe);
  std::vector<PeerSubject> peers;
  for (const Peer& peer : options.peers) {
    peers.emplace_back(peer, options.peer_model, options.plan, session->pool().threads());
  }
  std::vector<SpeedSubject*> subjects = {&ours};
  for (PeerSubject& peer : peers) subjects.push_back(&peer);
  result.limits.peaks = measure_peaks(session->pool(), kPeakSeconds);
  std::vector<Speed> speeds = measure_speed(subjects, options.repetitions, cancelled, [&](int64_t done, int64_t total) {
    if (progress) progress("measuring", done, total);
  });
  probe.reset();  // its memory is not the model's
  result.resident_bytes = resident_bytes();
  result.experts = session->decoder().expert_stats();
  keep_larger(result.limits.peaks, measure_peaks(session->pool(), kPeakSeconds));
  result.limits.reads = ours.read();
  result.limits.read = summarize(ours.read());
  result.limits.read_one_thread = ours.read_one_thread();

  result.cpu = cpu_name();
  result.features = feature_names(cpu_features());
  result.level = session_options.backend == "cpu" ? cpu_level_name() : std::string_view(session_options.backend);
  result.activations = activations_name(session->activations());
  result.threads = session->pool().threads();
  result.plan = options.plan;
  result.repetitions = options.repetitions;
  result.speed = std::move(speeds[0]);
  result.share = reached(result.work, options.plan, result.speed, result.limits);
  for (size_t i = 0; i < options.peers.size(); ++i) {
    SpeedRatio own = ratio(result.speed, speeds[i + 1]);
    result.peers.push_back({options.peers[i].name, std::move(speeds[i + 1]), own});
  }
  if (options.divergence) measure_divergence(*session, open, session_options, options, cancelled, progress, result);
  return result;
}

}  // namespace duet
