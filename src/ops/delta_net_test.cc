// Gated DeltaNet through the ops: a layer on memory that the host cannot touch (deferred) and on the CPU.
#include "ops/delta_net.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/runtime.h"
#include "ops/device.h"
#include "tests/compare.h"

namespace duet {
namespace {

constexpr int64_t kKeyHeads = 2, kValueHeads = 4, kKeyDim = 16, kValueDim = 20, kWidth = 4;
constexpr int64_t kChannels = 2 * kKeyHeads * kKeyDim + kValueHeads * kValueDim;

std::vector<float> random(int64_t count, uint32_t seed) {
  std::mt19937 source(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = normal(source);
  return out;
}

/// Two sequences in steps with drafts, then a fork by a copy of the bytes; all outputs one behind the other.
/// `at_once`: by delta_mix().
std::vector<float> layer(Backend& backend, bool at_once) {
  Device& device = ops::device_of(backend);
  const std::vector<int32_t> key_head = {0, 0, 1, 1};
  DeltaView delta;
  delta.key_heads = kKeyHeads;
  delta.value_heads = kValueHeads;
  delta.key_dim = kKeyDim;
  delta.value_dim = kValueDim;
  delta.conv_width = kWidth;
  delta.key_head_of_value_head = key_head;
  const Buffer memory = device.allocate(2 * delta.state_bytes());
  const std::vector<std::byte*> states = {memory.data(), memory.data() + delta.state_bytes()};
  delta.states = states;
  Arena arena;
  Ctx ctx = {backend, arena};
  std::vector<float> all;
  const auto step = [&](std::vector<int32_t> sequence, std::vector<int32_t> position, std::vector<int32_t> certain) {
    const auto rows = static_cast<int64_t>(sequence.size());
    arena.reset(device, 1 << 20);
    const auto upload = [&](uint32_t seed, Shape shape) {
      std::vector<float> values;
      for (int64_t t = 0; t < rows; ++t) {
        const std::vector<float> row =
            random(shape.elements() / rows, seed + 10 * static_cast<uint32_t>(position[static_cast<size_t>(t)]));
        values.insert(values.end(), row.begin(), row.end());
      }
      return ops::upload(ctx, values, shape);
    };
    const auto weight = [&](uint32_t seed, Shape shape) {
      return ops::upload(ctx, random(shape.elements(), seed), shape);
    };
    const RowPlaces places = {sequence, position};
    const Shape gates{rows, kValueHeads}, heads{rows, kValueHeads, kValueDim};
    const Tensor qkv = ctx.scratch(Shape{rows, kChannels}), g = ctx.scratch(gates), beta = ctx.scratch(gates);
    const Tensor o = ctx.scratch(heads), y = ctx.scratch(heads);
    std::vector<float> decays = random(kValueHeads, 3);
    for (float& x : decays) x = -std::abs(x);
    DeltaSteps steps;
    steps.conv = weight(2, Shape{kChannels, kWidth});
    steps.decay = ops::upload(ctx, decays, Shape{kValueHeads});
    steps.dt_bias = weight(6, Shape{kValueHeads});
    steps.norm = weight(8, Shape{kValueDim});
    steps.query_scale = 0.25f;
    steps.l2_eps = steps.norm_eps = 1e-6f;
    const DeltaInput input = {upload(1, qkv.shape), upload(7, Shape{rows, kValueHeads * kValueDim}), upload(4, gates),
                              upload(5, gates), qkv};
    if (at_once) {
      ops::delta_mix(ctx, input, steps, delta, places, certain, y);
    } else {
      ops::causal_conv1d(ctx, input.qkv, steps.conv, delta, places, qkv);
      ops::l2_norm(ctx, qkv, 0, kKeyHeads, kKeyDim, steps.l2_eps, steps.query_scale);
      ops::l2_norm(ctx, qkv, delta.keys_column(), kKeyHeads, kKeyDim, steps.l2_eps, 1.0f);
      ops::delta_gates(ctx, input.a, input.b, steps.decay, steps.dt_bias, g, beta);
      ops::delta_net(ctx, qkv, g, beta, delta, places, certain, o);
      ops::gated_rms_norm(ctx, o, input.z, steps.norm, steps.norm_eps, y);
    }
    std::vector<float> out(static_cast<size_t>(heads.elements()));
    // What a queued op was given by the host must be its own by now.
    std::fill(sequence.begin(), sequence.end(), 1000000);
    std::fill(position.begin(), position.end(), -5);
    std::fill(certain.begin(), certain.end(), -5);
    ops::download(ctx, y, out);
    all.insert(all.end(), out.begin(), out.end());
  };
  std::vector<int32_t> sequence, position;
  for (int32_t p = 0; p < 20; ++p) {
    sequence.insert(sequence.end(), {1, 0});
    position.insert(position.end(), {p, p});
  }
  step(sequence, position, {20, 20});
  step({0, 0, 0}, {20, 21, 22}, {21, 0});  // two drafts, of which the first is right
  step({1, 0}, {20, 22}, {23, 21});
  device.copy(memory.data() + delta.state_bytes(), memory.data(), delta.state_bytes());
  step({1, 0, 1}, {23, 23, 24}, {24, 25});
  return all;
}

TEST(DeltaNetOps, TheHostTouchesNoDeviceMemory) {
  const auto ref = make_ref_backend(), deferred = make_deferred_backend();
  const std::vector<float> plain = layer(*ref, false);
  for (const bool at_once : {false, true}) {
    EXPECT_TRUE(test::same_bits(layer(*ref, at_once), plain));
    EXPECT_TRUE(test::same_bits(layer(*deferred, at_once), plain));
  }
  ThreadPool pool(2);
  const auto cpu = make_cpu_backend(pool);
  EXPECT_TRUE(test::all_close(layer(*cpu, true), plain, 1e-4));  // kernels: src/backend/cpu
  // The fork's row is that of the sequence it was made from.
  const auto row = static_cast<std::ptrdiff_t>(kValueHeads * kValueDim);
  const auto last = plain.end() - 3 * row;
  EXPECT_TRUE(test::same_bits(std::vector<float>(last, last + row), std::vector<float>(last + row, last + 2 * row)));
}

TEST(DeltaNetOpsDeathTest, WrongPlacesAreMistakesOfOurs) {
  const auto backend = make_ref_backend();
  const std::vector<int32_t> key_head = {0};
  DeltaView delta;
  delta.key_heads = delta.value_heads = 1;
  delta.key_dim = delta.value_dim = 4;
  delta.conv_width = 4;
  delta.key_head_of_value_head = key_head;
  const Buffer memory = backend->allocate(delta.state_bytes());
  const std::vector<std::byte*> states = {memory.data()};
  delta.states = states;
  Arena arena;
  Ctx ctx = {*backend, arena};
  arena.reset(*backend, 1 << 16);
  const auto run = [&](const std::vector<int32_t>& position, int32_t certain_end) {
    const auto rows = static_cast<int64_t>(position.size());
    const std::vector<int32_t> sequence(position.size(), 0), certain = {certain_end};
    ops::delta_net(ctx, ops::upload(ctx, random(rows * 12, 1), Shape{rows, 12}),
                   ops::upload(ctx, random(rows, 2), Shape{rows, 1}), ops::upload(ctx, random(rows, 3), Shape{rows, 1}),
                   delta, {sequence, position}, certain, ctx.scratch(Shape{rows, 1, 4}));
  };
  run({0, 1}, 2);
  EXPECT_DEATH(run({2, 4}, 5), "p \\+ 1");                          // a gap
  EXPECT_DEATH(run({2, 3}, 1), "certain_end");                      // certain before the step's first row
  EXPECT_DEATH(run({2, 3}, 5), "certain_end");                      // behind its last
  EXPECT_DEATH(run(std::vector<int32_t>{40}, 41), "2 \\* kChunk");  // rows are missing
  std::vector<int32_t> many;
  for (int32_t p = 2; p < 20; ++p) many.push_back(p);
  EXPECT_DEATH(run(many, 3), "kMaxDraftTokens");
}

}  // namespace
}  // namespace duet
