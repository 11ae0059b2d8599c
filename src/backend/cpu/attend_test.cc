// attend() is one loop over the threads where rows are few, with the bits of enter_heads() and attention() one after
// the other, which Backend's own definitions of both call.
#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"

namespace duet {
namespace {

using test::Cpu;
using test::view;

constexpr int64_t kTokens = KvView::kPageTokens;

/// Rows of a step: `rows` of each of `sequences`, which have `seen` tokens before, and one more than the sequence
/// before.
struct Step {
  int64_t sequences = 1, seen = 0, rows = 1;
  bool in_turns = false;  // a row of each sequence after the other
};

struct Heads {
  int64_t kv_heads, group, dim;
  int64_t rotated = 0;  // pairs
  bool norm = false, after = false, factors = false;
  int64_t window = 0, chunk = 0;
};

/// A step's arguments, and pages that hold all tokens before it.
class Layer {
 public:
  Layer(const Cpu& cpu, const Heads& heads, DType type, const Step& step, uint32_t seed)
      : heads_(heads), pages_((step.seen + step.sequences + step.rows) / kTokens + 1), sequences_(step.sequences) {
    kv_.dtype = type, kv_.kv_heads = heads.kv_heads, kv_.head_dim = heads.dim;
    for (int64_t i = 0; i < step.sequences * step.rows; ++i) {
      const int64_t s = step.in_turns ? i % step.sequences : i / step.rows;
      sequence_.push_back(static_cast<int32_t>(s));
      position_.push_back(static_cast<int32_t>(step.seen + s + (step.in_turns ? i / step.sequences : i % step.rows)));
    }
    q_ = test::random_floats(rows() * heads.kv_heads * heads.group * heads.dim, ++seed);
    k_ = test::random_floats(rows() * heads.kv_heads * heads.dim, ++seed);
    v_ = test::random_floats(rows() * heads.kv_heads * heads.dim, ++seed);
    q_norm_ = test::random_floats(heads.dim, ++seed), k_norm_ = test::random_floats(heads.dim, ++seed);
    cos_ = test::random_floats(rows() * heads.rotated, ++seed),
    sin_ = test::random_floats(rows() * heads.rotated, ++seed);
    factors_ = test::random_floats(rows(), ++seed);
    if (heads.norm) steps_.q_norm = view(q_norm_, Shape{heads.dim}), steps_.k_norm = view(k_norm_, Shape{heads.dim});
    steps_.eps = 1e-6f, steps_.norm_after_rope = heads.after;
    if (heads.rotated > 0) {
      steps_.cos = view(cos_, Shape{rows(), heads.rotated}), steps_.sin = view(sin_, Shape{rows(), heads.rotated});
    }
    if (heads.factors) steps_.q_factors = view(factors_, Shape{rows()});
    memory_.assign(static_cast<size_t>(step.sequences * pages_ * kv_.page_bytes() / 4), NAN);
    fill(cpu, step, seed);
  }
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  int64_t rows() const { return static_cast<int64_t>(position_.size()); }
  /// What call(q, k, v, steps, kv, places, spec, out) leaves in out, q, k and the pages.
  template <typename Call>
  std::vector<float> outcome(const Call& call) const {
    std::vector<float> q = q_, k = k_, v = v_, memory = memory_, out(q.size(), NAN);
    const auto tables = tables_in(memory);
    const auto spans = spans_of(tables);
    KvView kv = kv_;
    kv.pages = spans;
    const AttentionSpec spec{1.0f / std::sqrt(static_cast<float>(heads_.dim)), heads_.window, heads_.chunk};
    const Shape queries{rows(), heads_.kv_heads * heads_.group, heads_.dim}, keys{rows(), heads_.kv_heads, heads_.dim};
    call(view(q, queries), view(k, keys), view(v, keys), steps_, kv, RowPlaces{sequence_, position_}, spec,
         view(out, queries));
    for (const auto* more : {&q, &k, &memory}) out.insert(out.end(), more->begin(), more->end());
    return out;
  }

 private:
  using Tables = std::vector<std::vector<std::byte*>>;
  Tables tables_in(std::vector<float>& memory) const {
    Tables tables(static_cast<size_t>(sequences_));
    for (int64_t i = 0; i < sequences_ * pages_; ++i) {
      tables[static_cast<size_t>(i / pages_)].push_back(reinterpret_cast<std::byte*>(memory.data()) +
                                                        i * kv_.page_bytes());
    }
    return tables;
  }
  static std::vector<std::span<std::byte* const>> spans_of(const Tables& tables) {
    return {tables.begin(), tables.end()};
  }
  /// The tokens before the step.
  void fill(const Cpu& cpu, const Step& step, uint32_t seed) {
    std::vector<int32_t> sequence, position;
    for (int64_t s = 0; s < step.sequences; ++s) {
      for (int64_t i = 0; i < step.seen + s; ++i) {
        sequence.push_back(static_cast<int32_t>(s)), position.push_back(static_cast<int32_t>(i));
      }
    }
    const Shape shape{static_cast<int64_t>(position.size()), heads_.kv_heads, heads_.dim};
    // Many: no number need be drawn for itself.
    constexpr int64_t kDrawn = 5003;
    const std::vector<float> drawn = test::random_floats(kDrawn, seed);
    std::vector<float> k(static_cast<size_t>(shape.elements())), v(k.size());
    for (size_t i = 0; i < k.size(); ++i) k[i] = drawn[i % kDrawn], v[i] = drawn[(i + kDrawn / 2) % kDrawn];
    const auto tables = tables_in(memory_);
    const auto spans = spans_of(tables);
    KvView kv = kv_;
    kv.pages = spans;
    cpu->kv_write(view(k, shape), view(v, shape), kv, {sequence, position});
  }

  Heads heads_;
  int64_t pages_, sequences_;
  KvView kv_;
  std::vector<int32_t> sequence_, position_;
  std::vector<float> q_, k_, v_, q_norm_, k_norm_, cos_, sin_, factors_, memory_;
  HeadSteps steps_;
};

void expect_same(const Cpu& cpu, const Heads& heads, DType type, const Step& step, uint32_t seed) {
  const Layer layer(cpu, heads, type, step, seed);
  const auto fused = layer.outcome([&](const auto&... a) { cpu->attend(a...); });
  const auto apart = layer.outcome([&](const auto& q, const auto& k, const auto& v, const auto& steps, const auto& kv,
                                       const auto& places, const auto& spec, const auto& out) {
    cpu->Backend::enter_heads(q, k, v, steps, kv, places);
    cpu->attention(q, kv, places, spec, out);
  });
  EXPECT_TRUE(test::same_bits(fused, apart))
      << heads.kv_heads << " x " << heads.group << " x " << heads.dim << " " << dtype_info(type).name << ", "
      << step.sequences << " x " << step.rows << " rows after " << step.seen << ", " << cpu.pool->threads()
      << " threads";
}

class AttendLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(AttentionFused, AttendLevel, testing::ValuesIn(test::all_levels()),
                         [](const auto& level) { return level.param; });

TEST_P(AttendLevel, HeadsEnterWithinAttention) {
  const bool slow = test::emulated(GetParam());
  const std::vector<Step> steps = {
      {.seen = 0},
      {.seen = 100},
      {.seen = 1500},                                              // threads share the keys
      {.sequences = 8, .seen = 60},                                // some begin a page
      {.sequences = 5, .seen = 700, .rows = 2, .in_turns = true},  // runs of one row
      {.seen = 61, .rows = 6},                                     // drafts see those before them
      {.seen = 900, .rows = 5},
      {.sequences = 2, .seen = 800, .rows = 4},
      {.sequences = 2, .seen = 20, .rows = slow ? int64_t{40} : int64_t{150}},  // prompts
  };
  const std::vector<Heads> shapes = {
      {.kv_heads = 8, .group = 2, .dim = 64, .rotated = 32, .norm = true},
      {.kv_heads = 3, .group = 3, .dim = 64, .rotated = 32, .factors = true},
      {.kv_heads = 2, .group = 6, .dim = 96, .rotated = 16, .norm = true, .after = true, .factors = true, .window = 70},
      {.kv_heads = 1, .group = 4, .dim = 32, .rotated = 8, .norm = true, .chunk = 128},
      {.kv_heads = 2, .group = 16, .dim = 32},  // several blocks of rows
  };
  uint32_t seed = 700;
  for (const int threads : {1, 3}) {
    const Cpu cpu(GetParam(), threads);
    for (size_t h = 0; h < shapes.size(); ++h) {
      for (size_t s = 0; s < steps.size(); ++s) {
        for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
          if (slow && (h + s + static_cast<size_t>(type)) % 3 != 0) continue;
          expect_same(cpu, shapes[h], type, steps[s], seed += 20);
        }
      }
    }
  }
}

/// Threads that wait for one another, often.
TEST_P(AttendLevel, ManyThreadsNeedFewHeads) {
  const Cpu cpu(GetParam(), 8);
  const Heads few = {.kv_heads = 2, .group = 2, .dim = 64, .rotated = 32, .norm = true};
  const Heads many = {.kv_heads = 8, .group = 3, .dim = 32, .rotated = 16, .factors = true};
  const int times = test::emulated(GetParam()) ? 1 : 5;
  for (int i = 0; i < times; ++i) {
    const auto seed = static_cast<uint32_t>(9000 + 100 * i);
    for (const Heads& heads : {few, many}) {
      expect_same(cpu, heads, DType::kF16, {.seen = 1200}, seed);
      expect_same(cpu, heads, DType::kF16, {.sequences = 6, .seen = 300}, seed + 20);
      expect_same(cpu, heads, DType::kF16, {.seen = 30, .rows = 4}, seed + 40);
    }
  }
}

/// More heads than can enter that way, and heads without queries: by the ops one after the other.
TEST(AttentionFused, WhatDoesNotFitGoesTheOldWay) {
  const Cpu cpu("", 3);
  expect_same(cpu, {.kv_heads = 300, .group = 1, .dim = 4}, DType::kF32, {.seen = 40}, 1);
  expect_same(cpu, {.kv_heads = 2, .group = 0, .dim = 32}, DType::kF32, {.seen = 40}, 2);
  expect_same(cpu, {.kv_heads = 2, .group = 2, .dim = 32}, DType::kF32, {.seen = 40, .rows = 0}, 3);
}

TEST(AttentionFused, ATokenOfARealModelIsOneLoop) {
  for (const int threads : {2, 3}) {
    const Cpu cpu("", threads);
    const Heads heads = {.kv_heads = 8, .group = 2, .dim = 128, .rotated = 64, .norm = true};
    for (const Step& step : {Step{.seen = 100}, Step{.seen = 2000}, Step{.sequences = 8, .seen = 100}}) {
      const Layer layer(cpu, heads, DType::kF16, step, 1);
      const int64_t before = cpu.pool->shared_loops();
      layer.outcome([&](const auto&... a) { cpu->attend(a...); });
      EXPECT_EQ(cpu.pool->shared_loops() - before, 1) << step.sequences << " rows after " << step.seen;
    }
  }
}

}  // namespace
}  // namespace duet
