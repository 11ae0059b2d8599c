// A mixture that the CPU computes in two loops has the bits of the ops one after the other, which Backend's own
// definition calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"

namespace duet {
namespace {

using test::Cpu;
using test::Matrix;
using test::view;

class MixtureLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(Mixture, MixtureLevel, testing::ValuesIn(test::all_levels()),
                         [](const auto& level) { return level.param; });

struct Weights {
  DType type;
  Activations activations = Activations::kNative;
};

/// SwiGLU weights: gates, ups and downs of some experts.
struct Experts {
  Experts(Backend& backend, int64_t count, int64_t hidden, int64_t dim, const Weights (&of)[3], uint32_t seed) {
    for (int part = 0; part < 3; ++part) {
      for (int64_t e = 0; e < count; ++e) {
        const Matrix m = part < 2 ? test::random_matrix(of[part].type, dim, hidden, ++seed)
                                  : test::random_matrix(of[part].type, hidden, dim, ++seed);
        owned.push_back(test::pack(backend, m, of[part].activations));
        parts[part].push_back(owned.back().get());
      }
    }
  }
  std::vector<std::unique_ptr<PackedWeight>> owned;
  std::vector<const PackedWeight*> parts[3];
};

struct Case {
  int64_t hidden, dim, shared_dim;  // 0: no shared expert
  Weights experts[3];
  Weights shared[3] = {};
};
std::vector<Case> cases() {
  constexpr auto kF32 = Activations::kF32;
  const Weights q8 = {DType::kQ8_0}, q4k = {DType::kQ4_K}, q6k = {DType::kQ6_K}, bf16 = {DType::kBF16};
  return {{256, 64, 96, {q4k, q4k, q8}, {q8, q8, q8}},
          {512, 256, 0, {q4k, q6k, q6k}, {}},
          {224, 96, 32, {q8, q8, q8}, {bf16, bf16, bf16}},  // a shared expert of another arithmetic
          {70, 37, 50, {bf16, bf16, bf16}, {bf16, bf16, bf16}},
          {256, 128, 0, {{DType::kQ8_0, kF32}, bf16, {DType::kQ4_0, kF32}}, {}},
          {96, 64, 64, {q8, bf16, q8}, {q8, q8, q8}},  // experts of two arithmetics
          {40, 32, 0, {bf16, bf16, bf16}, {}}};        // a last panel of 8 rows
}

/// A mixture with all that it points to.
struct Call {
  Call(const Case& c, const Experts& routed, const Experts& shared, int64_t tokens, int64_t top_k, bool own_rows,
       bool row_gate, uint32_t seed)
      : ids(test::random_experts(tokens, static_cast<int64_t>(routed.parts[0].size()), top_k, seed)),
        x(test::random_floats(tokens * c.hidden, seed + 1)),
        own(test::random_floats(tokens * top_k * c.hidden, seed + 2)),
        weights(test::random_floats(tokens * top_k, seed + 3)),
        gates(test::random_floats(tokens, seed + 4)),
        out(test::random_floats(tokens * c.hidden, seed + 5)),
        between(static_cast<size_t>(2 * tokens * (top_k * c.dim + c.shared_dim))),
        y(own) {
    m.x = view(x, Shape{tokens, c.hidden});
    const Tensor rows = view(y, Shape{tokens, top_k, c.hidden});
    m.input = own_rows ? rows : m.x;
    m.ids = test::view_ids(ids, Shape{tokens, top_k});
    if (!own_rows) m.weights = view(weights, Shape{tokens, top_k});
    float* at = between.data();
    const auto room = [&](Shape shape) {
      const Tensor tensor = {reinterpret_cast<std::byte*>(at), DType::kF32, shape};
      at += shape.elements();
      return tensor;
    };
    m.gate = {routed.parts[0], room({tokens, top_k, c.dim})};
    m.up = {routed.parts[1], room({tokens, top_k, c.dim})};
    m.down = {routed.parts[2], rows};
    m.add_to = view(out, Shape{tokens, c.hidden});
    if (c.shared_dim == 0) return;
    const Tensor gate = room({tokens, c.shared_dim}), up = room({tokens, c.shared_dim});
    m.shared = {LinearTerm{shared.parts[0][0], {}, Epilogue::kNone, gate},
                LinearTerm{shared.parts[1][0], {}, Epilogue::kNone, up},
                LinearTerm{shared.parts[2][0], {}, Epilogue::kAdd, m.add_to}};
    if (row_gate) m.row_gates = view(gates, Shape{tokens, 1});
  }
  std::vector<int32_t> ids;
  std::vector<float> x, own, weights, gates, out, between, y;
  Mixture m;
};

TEST_P(MixtureLevel, IsItsOpsOneAfterTheOther) {
  uint32_t seed = 4000;
  for (const int threads : {1, 3}) {
    const Cpu cpu(GetParam(), threads);
    for (const Case& c : cases()) {
      const Experts routed(*cpu.backend, 9, c.hidden, c.dim, c.experts, seed += 100);
      const Experts shared(*cpu.backend, c.shared_dim > 0 ? 1 : 0, c.hidden, std::max<int64_t>(1, c.shared_dim),
                           c.shared, seed += 100);
      // 40 tokens by 4 are more than a block of rows.
      for (const auto& [tokens, top_k] : {std::pair{1, 8}, {0, 2}, {1, 1}, {2, 3}, {8, 4}, {21, 2}, {40, 4}}) {
        if (test::emulated(GetParam()) && tokens > 8) continue;
        for (const bool own_rows : {false, true}) {
          const bool row_gate = ++seed % 2 == 0;
          Call fused(c, routed, shared, tokens, top_k, own_rows, row_gate, seed);
          Call apart(c, routed, shared, tokens, top_k, own_rows, row_gate, seed);
          cpu->mixture(fused.m);
          cpu->Backend::mixture(apart.m);
          EXPECT_TRUE(test::same_bits(fused.out, apart.out))
              << dtype_info(c.experts[0].type).name << " " << c.hidden << ", " << tokens << " tokens, " << top_k
              << " experts, " << threads << " threads";
        }
      }
    }
  }
}

TEST(Mixture, OfOneTokenIsTwoLoops) {
  const Cpu cpu("", 2);
  const Weights q4k[3] = {{DType::kQ4_K}, {DType::kQ4_K}, {DType::kQ6_K}};
  const Weights bf16[3] = {{DType::kBF16}, {DType::kBF16}, {DType::kBF16}};
  for (const auto& types : {q4k, bf16}) {
    Case c = {1024, 512, 512, {}, {}};
    std::copy_n(types, 3, c.experts), std::copy_n(types, 3, c.shared);
    const Experts routed(*cpu.backend, 8, c.hidden, c.dim, c.experts, 1);
    const Experts shared(*cpu.backend, 1, c.hidden, c.shared_dim, c.shared, 2);
    Call call(c, routed, shared, 1, 4, false, true, 3);
    const int64_t before = cpu.pool->shared_loops();
    cpu->mixture(call.m);
    EXPECT_EQ(cpu.pool->shared_loops() - before, 2);
  }
}

}  // namespace
}  // namespace duet
