// Ops that the CPU does at once have the bits of the ops one after the other, which Backend's own definitions call.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "backend/cpu/test_data.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"

namespace duet {
namespace {

using test::Cpu;
using test::Matrix;
using test::pack;
using test::view;

class FusedLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(Fused, FusedLevel, testing::ValuesIn(test::all_levels()),
                         [](const auto& level) { return level.param; });

/// Two weights of one input, in the arithmetics of a and b.
struct Pair {
  DType type;
  Activations a = Activations::kNative, b = Activations::kNative;
  int64_t out, in;
  std::optional<DType> other = std::nullopt;  // type of b, where it is not that of a
};
std::vector<Pair> weight_pairs() {
  constexpr auto kNative = Activations::kNative, kF32 = Activations::kF32;
  return {
      {DType::kQ8_0, kNative, kNative, 48, 96},   {DType::kQ4_K, kNative, kNative, 64, 512},
      {DType::kQ4_0, kNative, kNative, 37, 2080},  // a last panel of 5 rows, a norm in three pieces
      {DType::kQ4_0, kNative, kNative, 16, 4128},  // more than a thread rounds for itself
      {DType::kQ5_0, kNative, kNative, 5, 64},     // no whole panel
      {DType::kQ6_K, kF32, kF32, 32, 256},        {DType::kQ6_K, kNative, kF32, 32, 256},
      {DType::kBF16, kNative, kNative, 48, 70},  // of the float32 arithmetic only
      {DType::kQ4_K, kNative, kNative, 480, 256}, {DType::kQ5_0, kNative, kNative, 421, 96, DType::kQ8_0},
  };
}

/// What a call leaves in out [2, rows, outputs].
template <typename Call>
std::vector<float> outcome(int64_t rows, int64_t outputs, const Call& call) {
  std::vector<float> out(static_cast<size_t>(2 * rows * outputs), 0.5f);
  const Tensor both = view(out, Shape{2 * rows, outputs});
  call(both.rows(0, rows), both.rows(rows, rows));
  return out;
}

TEST_P(FusedLevel, NormedRowsGoIntoAProductAsTheyAre) {
  for (const int threads : {1, 3}) {
    const Cpu cpu(GetParam(), threads);
    uint32_t seed = 100;
    for (const Pair& p : weight_pairs()) {
      const Matrix wa = test::random_matrix(p.type, p.out, p.in, ++seed);
      const Matrix wb = test::random_matrix(p.other.value_or(p.type), p.out, p.in, ++seed);
      const auto a = pack(*cpu.backend, wa, p.a), b = pack(*cpu.backend, wb, p.b);
      std::vector<float> weight = test::random_floats(p.in, ++seed), bias = test::random_floats(p.out, ++seed);
      for (const int64_t rows : {1, 2, 13, 140}) {
        if (test::emulated(GetParam()) && rows == 140) continue;
        std::vector<float> x = test::random_floats(rows * p.in, ++seed), room(x.size());
        const LinearInput input(view(x, Shape{rows, p.in}), view(weight, Shape{p.in}), 1e-6f,
                                view(room, Shape{rows, p.in}));
        const auto run = [&](const auto& call) {
          return outcome(rows, p.out, [&](const Tensor& first, const Tensor& second) {
            const LinearTerm terms[] = {{a.get(), view(bias, Shape{p.out}), Epilogue::kAdd, first},
                                        {b.get(), {}, Epilogue::kNone, second}};
            call(terms);
          });
        };
        const auto fused = run([&](const auto& terms) { cpu->linear_of(input, terms); });
        const auto apart = run([&](const auto& terms) { cpu->Backend::linear_of(input, terms); });
        EXPECT_TRUE(test::same_bits(fused, apart))
            << dtype_info(p.type).name << " [" << p.out << "," << p.in << "] " << rows << " rows, " << threads;
      }
    }
  }
}

TEST_P(FusedLevel, SwigluIsFourOps) {
  constexpr int64_t kOut = 24;
  for (const int threads : {1, 3}) {
    const Cpu cpu(GetParam(), threads);
    uint32_t seed = 300;
    for (const Pair& p : weight_pairs()) {
      // Only of float32 alone what lies between may be any number of columns.
      const bool any = p.a == Activations::kF32 && p.b == Activations::kF32;
      const int64_t inner = any ? p.out + 5 : (p.out + 31) / 32 * 32;
      const Matrix matrices[] = {test::random_matrix(p.type, inner, p.in, ++seed),
                                 test::random_matrix(p.other.value_or(p.type), inner, p.in, ++seed),
                                 test::random_matrix(any ? DType::kBF16 : DType::kQ8_0, kOut, inner, ++seed)};
      const auto gate = pack(*cpu.backend, matrices[0], p.a), up = pack(*cpu.backend, matrices[1], p.b);
      for (const Activations last : {Activations::kNative, Activations::kF32}) {
        const auto down = pack(*cpu.backend, matrices[2], last);
        std::vector<float> weight = test::random_floats(p.in, ++seed), bias = test::random_floats(inner, ++seed);
        for (const int64_t rows : {1, 2, 13, 140}) {
          if (test::emulated(GetParam()) && rows == 140) continue;
          std::vector<float> x = test::random_floats(rows * p.in, ++seed), room(x.size());
          const Tensor xs = view(x, Shape{rows, p.in});
          const Tensor norm = view(weight, Shape{p.in}), place = view(room, Shape{rows, p.in});
          std::vector<float> factors = test::random_floats(rows, ++seed);
          const Tensor row_gates = seed % 2 == 0 ? view(factors, Shape{rows, 1}) : Tensor{};
          for (const LinearInput& input : {LinearInput(xs), LinearInput(xs, norm, 1e-6f, place)}) {
            const auto run = [&](const auto& call) {
              std::vector<float> out(static_cast<size_t>(rows * kOut), 0.5f),
                  between(static_cast<size_t>(2 * rows * inner));
              const Tensor rooms = view(between, Shape{2 * rows, inner});
              call(LinearTerm{gate.get(), view(bias, Shape{inner}), Epilogue::kNone, rooms.rows(0, rows)},
                   LinearTerm{up.get(), view(bias, Shape{inner}), Epilogue::kNone, rooms.rows(rows, rows)},
                   LinearTerm{down.get(), {}, Epilogue::kAdd, view(out, Shape{rows, kOut})});
              return out;
            };
            const auto fused =
                run([&](const auto& g, const auto& u, const auto& d) { cpu->swiglu(input, g, u, d, row_gates); });
            const auto apart = run(
                [&](const auto& g, const auto& u, const auto& d) { cpu->Backend::swiglu(input, g, u, d, row_gates); });
            EXPECT_TRUE(test::same_bits(fused, apart))
                << dtype_info(p.type).name << " [" << inner << "," << p.in << "] " << rows << " rows, " << threads;
          }
        }
      }
    }
  }
}

/// A row that is rounded by each thread for itself is no other call's: the same buffers with other values.
TEST_P(FusedLevel, EveryCallRoundsItsRowAnew) {
  const Cpu cpu(GetParam());
  const Matrix m = test::random_matrix(DType::kQ8_0, 640, 64, 7);
  const auto w = pack(*cpu.backend, m, Activations::kNative);
  std::vector<float> x(64), out(640);
  for (int i = 0; i < 50; ++i) {
    std::fill(x.begin(), x.end(), static_cast<float>(i));
    const LinearTerm term = {w.get(), {}, Epilogue::kNone, view(out, Shape{1, 640})};
    cpu->linear(view(x, Shape{1, 64}), {&term, 1});
    for (size_t o = 0; o < 640; ++o) {
      double sum = 0, size = 0;
      for (size_t k = 0; k < 64; ++k) {
        sum += static_cast<double>(m.values[o * 64 + k]) * i;
        size += std::abs(static_cast<double>(m.values[o * 64 + k])) * i;
      }
      ASSERT_NEAR(static_cast<double>(out[o]), sum, 1e-5 * size) << i << " " << o;  // another call's are 2 % off
    }
  }
}

TEST_P(FusedLevel, HeadsEnterAsByOpsOneAfterTheOther) {
  constexpr int64_t kTokens = KvView::kPageTokens, kPages = 3;
  uint32_t seed = 500;
  struct Heads {
    int64_t kv_heads, group, dim, rotated;
    bool norm, after;
    DType type;
  };
  for (const Heads& h :
       {Heads{8, 2, 128, 64, true, false, DType::kF16}, Heads{2, 6, 128, 64, false, false, DType::kBF16},
        Heads{1, 4, 64, 16, true, true, DType::kF32}, Heads{3, 1, 96, 0, true, false, DType::kQ8_0},
        Heads{1, 1, 12, 6, false, false, DType::kF16}, Heads{5, 3, 320, 160, true, false, DType::kF32}}) {
    for (const int threads : {1, 3}) {
      const Cpu cpu(GetParam(), threads);
      for (const int64_t rows : {1, 8, 150}) {
        KvView kv;
        kv.dtype = h.type, kv.kv_heads = h.kv_heads, kv.head_dim = h.dim;
        // Rows of two sequences in turns, or a long one that begins within a page.
        std::vector<int32_t> sequence, position;
        for (int32_t t = 0; t < rows; ++t) {
          sequence.push_back(rows == 8 ? t % 2 : 1);
          position.push_back(rows == 8 ? 60 + t : 20 + t);
        }
        std::vector<float> cos = test::random_floats(rows * h.rotated, ++seed),
                           sin = test::random_floats(rows * h.rotated, ++seed);
        std::vector<float> q_norm = test::random_floats(h.dim, ++seed), k_norm = test::random_floats(h.dim, ++seed);
        HeadSteps steps;
        if (h.norm) steps.q_norm = view(q_norm, Shape{h.dim}), steps.k_norm = view(k_norm, Shape{h.dim});
        steps.eps = 1e-6f, steps.norm_after_rope = h.after;
        if (h.rotated > 0) {
          steps.cos = view(cos, Shape{rows, h.rotated}), steps.sin = view(sin, Shape{rows, h.rotated});
        }
        const std::vector<float> q0 = test::random_floats(rows * h.kv_heads * h.group * h.dim, ++seed);
        const std::vector<float> k0 = test::random_floats(rows * h.kv_heads * h.dim, ++seed);
        std::vector<float> v = test::random_floats(rows * h.kv_heads * h.dim, ++seed);
        const auto run = [&](const auto& call) {
          std::vector<float> q = q0, k = k0, memory(static_cast<size_t>(2 * kPages * kv.page_bytes() / 4), 0.25f);
          std::vector<std::vector<std::byte*>> pages(2);
          std::vector<std::span<std::byte* const>> spans;
          for (int64_t i = 0; i < 2 * kPages; ++i) {
            pages[static_cast<size_t>(i / kPages)].push_back(reinterpret_cast<std::byte*>(memory.data()) +
                                                             i * kv.page_bytes());
          }
          for (const auto& table : pages) spans.emplace_back(table);
          KvView own = kv;
          own.pages = spans;
          call(view(q, Shape{rows, h.kv_heads * h.group, h.dim}), view(k, Shape{rows, h.kv_heads, h.dim}),
               view(v, Shape{rows, h.kv_heads, h.dim}), own);
          q.insert(q.end(), memory.begin(), memory.end());
          return q;
        };
        const RowPlaces places{sequence, position};
        const auto fused = run([&](auto q, auto k, auto values, const KvView& own) {
          cpu->enter_heads(q, k, values, steps, own, places);
        });
        const auto apart = run([&](auto q, auto k, auto values, const KvView& own) {
          cpu->Backend::enter_heads(q, k, values, steps, own, places);
        });
        EXPECT_TRUE(test::same_bits(fused, apart)) << h.kv_heads << " x " << h.group << " x " << h.dim << ", " << rows;
        static_assert(kTokens * kPages > 170);
      }
    }
  }
}

}  // namespace
}  // namespace duet
