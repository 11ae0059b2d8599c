// Speed of Gated DeltaNet in the shape of Qwen3-Next and Qwen3.5 (32 value heads, 16 key heads, dimension 128): a
// decoded token, which reads S once, in GB/s beside a streaming read of the same bytes, and a prompt of 512 rows. Then
// all that lies between a layer's projections, at once and by ops one after the other, for steps of few rows.
//   delta_bench [--threads N] [--cpu LEVEL] [--processor-clock]
// With --processor-clock the clock is the time of all threads, for a machine that others use: take one thread. Layers
// take turns, so that S comes from memory. Medians of rounds; the read is measured in each of them.
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/runtime.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/memory.h"
#include "bench/support.h"

namespace duet {
namespace {

constexpr int64_t kLayers = 24, kKeyHeads = 16, kValueHeads = 32, kDim = 128, kWidth = 4, kPrompt = 512;
constexpr int kRounds = 9, kTokens = 32;  // tokens: two chunks, so that folds are counted as often as they come

class Bench {
 public:
  Bench(int threads, const std::string& level, clockid_t clock)
      : pool_(threads), backend_(make_cpu_backend(pool_, level)), clock_(clock) {
    for (int64_t h = 0; h < kValueHeads; ++h) key_head_.push_back(static_cast<int32_t>(h * kKeyHeads / kValueHeads));
    delta_.key_heads = kKeyHeads;
    delta_.value_heads = kValueHeads;
    delta_.key_dim = delta_.value_dim = kDim;
    delta_.conv_width = kWidth;
    delta_.key_head_of_value_head = key_head_;
    for (int64_t i = 0; i < kLayers; ++i) states_.push_back(backend_->allocate(delta_.state_bytes()));
    x_ = random(kPrompt * delta_.channels(), 1.0f);
    convolved_ = random(kPrompt * delta_.channels(), 1.0f);
    weight_ = random(delta_.channels() * kWidth, 0.5f);
    g_ = random(kPrompt * kValueHeads, 0.1f);
    for (int64_t i = 0; i < kPrompt * kValueHeads; ++i) floats(g_)[i] = -std::abs(floats(g_)[i]);
    beta_ = random(kPrompt * kValueHeads, 0.2f);
    z_ = random(kPrompt * kValueHeads * kDim, 1.0f);
    norm_ = random(kDim, 1.0f);
    for (int64_t i = 0; i < kDim; ++i) floats(norm_)[i] = -std::abs(floats(norm_)[i]);  // stands for decays as well
    out_ = random(kPrompt * kValueHeads * kDim, 1.0f);
  }

  void run() {
    std::vector<double> decode, rest, read, prompt, prompt_rest;
    for (int round = 0; round < kRounds; ++round) {
      double seconds = 0, others = 0;
      for (int64_t i = 0; i < kLayers; ++i) step(i, 0, kPrompt, seconds, others);
      prompt.push_back(seconds / kLayers);
      prompt_rest.push_back(others / kLayers);
      seconds = others = 0;
      for (int64_t p = kPrompt; p < kPrompt + kTokens; ++p) {
        for (int64_t i = 0; i < kLayers; ++i) step(i, p, 1, seconds, others);
      }
      decode.push_back(seconds / (kTokens * kLayers));
      rest.push_back(others / (kTokens * kLayers));
      read.push_back(read_all() / kLayers);
    }
    const auto matrix = static_cast<double>(kValueHeads * kDim * kDim * 4);
    const auto work = static_cast<double>(kPrompt * kValueHeads * kDim * kDim * 3);
    fmt::print("{} thread(s), {} layers, state {:.2f} MiB a layer, S {:.2f} MiB\n", pool_.threads(), kLayers,
               static_cast<double>(delta_.state_bytes()) / (1 << 20), matrix / (1 << 20));
    fmt::print(
        "decode: {:.1f} us a token and layer, S at {:.2f} GB/s; a read of as many bytes {:.2f} GB/s ({:.0f} %)\n",
        bench::median(decode) * 1e6, matrix / bench::median(decode) / 1e9, matrix / bench::median(read) / 1e9,
        100 * bench::median(read) / bench::median(decode));
    fmt::print("        convolution and norms {:.1f} us\n", bench::median(rest) * 1e6);
    fmt::print("prompt: {:.2f} ms for {} rows of a layer, {:.1f} GMAC/s; convolution and norms {:.2f} ms\n",
               bench::median(prompt) * 1e3, kPrompt, work / bench::median(prompt) / 1e9,
               bench::median(prompt_rest) * 1e3);
    constexpr struct {
      int64_t streams, rows;
    } kSteps[] = {{1, 1}, {1, 2}, {1, 4}, {1, 16}, {1, 32}, {2, 1}, {8, 1}, {8, 4}, {8, 16}, {24, 1}};
    for (const auto [streams, rows] : kSteps) {
      std::vector<double> ways[2];
      for (int round = 0; round < 2 * kRounds; ++round) mix(streams, rows, round, ways);
      fmt::print("{} row(s) of {} stream(s): a layer {:.1f} us at once, {:.1f} us by single ops\n", rows, streams,
                 bench::median(ways[0]) * 1e6, bench::median(ways[1]) * 1e6);
    }
  }

 private:
  double now() const { return bench::now(clock_); }
  static float* floats(const Buffer& buffer) { return reinterpret_cast<float*>(buffer.data()); }
  Buffer random(int64_t count, float scale) {
    Buffer buffer = backend_->allocate(count * 4);
    std::mt19937 source(1);
    std::normal_distribution<float> normal(0.0f, scale);
    for (int64_t i = 0; i < count; ++i) floats(buffer)[i] = normal(source);
    return buffer;
  }
  static Tensor view(const Buffer& buffer, Shape shape) { return {buffer.data(), DType::kF32, shape}; }

  /// Adds the time of delta_net to `seconds`, that of the ops around it to `others`.
  void step(int64_t layer, int64_t first, int64_t rows, double& seconds, double& others) {
    std::byte* const state = states_[static_cast<size_t>(layer)].data();
    DeltaView delta = delta_;
    delta.states = std::span(&state, 1);
    const std::vector<int32_t> sequence(static_cast<size_t>(rows), 0);
    std::vector<int32_t> position;
    for (int64_t p = first; p < first + rows; ++p) position.push_back(static_cast<int32_t>(p));
    const RowPlaces places = {sequence, position};
    const int32_t end = position.back() + 1;
    const Tensor qkv = view(convolved_, Shape{rows, delta.channels()});
    const Tensor out = view(out_, Shape{rows, kValueHeads, kDim});
    double begin = now();
    backend_->causal_conv1d(view(x_, qkv.shape), view(weight_, Shape{delta.channels(), kWidth}), delta, places, qkv);
    backend_->l2_norm(qkv, 0, kKeyHeads, kDim, 1e-6f, 0.088f);
    backend_->l2_norm(qkv, delta.keys_column(), kKeyHeads, kDim, 1e-6f, 1.0f);
    others += now() - begin;
    begin = now();
    const Shape gates{rows, kValueHeads};
    backend_->delta_net(qkv, view(g_, gates), view(beta_, gates), delta, places, std::span(&end, 1), out);
    seconds += now() - begin;
    begin = now();
    backend_->gated_rms_norm(out, view(z_, Shape{rows, kValueHeads * kDim}), view(norm_, Shape{kDim}), 1e-6f, out);
    others += now() - begin;
  }

  /// Seconds of a layer from its projections to the last, at once and by single ops, which take turns; the streams'
  /// states are those of some layers.
  void mix(int64_t streams, int64_t rows, int64_t round, std::vector<double> (&ways)[2]) {
    std::vector<std::byte*> states;
    for (const Buffer& state : states_) states.push_back(state.data());
    DeltaView delta = delta_;
    std::vector<int32_t> sequence, position, end(static_cast<size_t>(streams));
    const int64_t count = streams * rows, heads = kValueHeads;
    const DeltaInput input = {view(x_, Shape{count, delta.channels()}), view(z_, Shape{count, heads * kDim}),
                              view(g_, Shape{count, heads}), view(beta_, Shape{count, heads}),
                              view(convolved_, Shape{count, delta.channels()})};
    const Tensor gates = view(norm_, Shape{heads});
    const DeltaSteps steps = {
        view(weight_, Shape{delta.channels(), kWidth}), gates, gates, view(norm_, Shape{kDim}), 0.088f, 1e-6f, 1e-6f};
    double seconds[2] = {};
    int64_t calls[2] = {};
    for (int64_t p = 0; p < kTokens; p += rows) {
      sequence.clear();
      position.clear();
      for (int64_t i = 0; i < count; ++i) {
        sequence.push_back(static_cast<int32_t>(i % streams));
        position.push_back(static_cast<int32_t>(p + i / streams));
      }
      std::fill(end.begin(), end.end(), static_cast<int32_t>(p + rows));
      for (int64_t i = 0; i + streams <= kLayers; i += streams) {
        delta.states = std::span(states).subspan(static_cast<size_t>(i), static_cast<size_t>(streams));
        const Tensor out = view(out_, Shape{count, heads, kDim});
        // Otherwise each step would take the gates of the one before for its input.
        for (int64_t j = 0; j < count * heads; ++j) floats(g_)[j] = 0.1f, floats(beta_)[j] = 0.2f;
        const double begin = now();
        const int64_t way = (i / streams + p / rows + round) % 2;
        if (way == 0) {
          backend_->delta_mix(input, steps, delta, {sequence, position}, end, out);
        } else {
          backend_->Backend::delta_mix(input, steps, delta, {sequence, position}, end, out);
        }
        seconds[way] += now() - begin;
        ++calls[way];
      }
    }
    for (const int way : {0, 1}) {
      if (calls[way] > 0) ways[way].push_back(seconds[way] / static_cast<double>(calls[way]));
    }
  }

  /// Seconds of a read of every layer's S.
  double read_all() {
    constexpr int64_t kHead = kDim * kDim * 4;
    const double begin = now();
    for (const Buffer& state : states_) {
      bench::read_once(pool_, {state.data() + delta_.matrix_at(0), static_cast<size_t>(kValueHeads * kHead)}, kHead);
    }
    return now() - begin;
  }

  ThreadPool pool_;
  std::unique_ptr<Backend> backend_;
  clockid_t clock_;
  std::vector<int32_t> key_head_;
  DeltaView delta_;
  std::vector<Buffer> states_;
  Buffer x_, convolved_, weight_, g_, beta_, z_, norm_, out_;
};

}  // namespace
}  // namespace duet

int main(int argc, char** argv) {
  int threads = 0;
  std::string level;
  bool processor = false;
  duet::bench::Program app("speed of Gated DeltaNet in the shape of Qwen3-Next and Qwen3.5", "delta_bench");
  app.add_machine_options(threads, level);
  app.add_flag("--processor-clock", processor, "time that all threads had of the processor, not that on the wall");
  return app.main(argc, argv,
                  [&] { duet::Bench(threads, level, processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC).run(); });
}
