// The ops of Gated DeltaNet against their formulas in float64, on the reference and on every level.
#include <gtest/gtest.h>

#include "backend/cpu/delta_test_data.h"
#include "tests/compare.h"

namespace duet {
namespace {

using test::Cpu;
using test::DeltaDims;
using test::DeltaStates;
using test::kEps;
using test::view;

std::vector<std::string> backends() {
  std::vector<std::string> names = test::float_levels();
  names.emplace_back("ref");
  return names;
}

class DeltaOps : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "ref") {
      ref_ = make_ref_backend();
      return;
    }
    if (const std::string reason = test::why_not(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
    cpu_ = std::make_unique<Cpu>(GetParam());
  }
  Backend& backend() const { return ref_ ? *ref_ : *cpu_->backend; }

 private:
  std::unique_ptr<Cpu> cpu_;
  std::unique_ptr<Backend> ref_;
};
INSTANTIATE_TEST_SUITE_P(Delta, DeltaOps, testing::ValuesIn(backends()), [](const auto& level) { return level.param; });

double at(const std::vector<float>& x, int64_t i) { return static_cast<double>(x[static_cast<size_t>(i)]); }
double silu(double x) { return x / (1 + std::exp(-x)); }

/// A sum of n products, a rounding for each product and each sum: 2 n eps sum |w x|. It goes through silu, whose slope
/// is below 1.1; silu itself is within 16 eps (rows_test.cc).
TEST_P(DeltaOps, Convolution) {
  uint32_t seed = 0;
  for (const DeltaDims& dims : {DeltaDims{1, 1, 16, 16, 4}, DeltaDims{2, 2, 8, 9, 2}, DeltaDims{1, 3, 3, 5, 3},
                                DeltaDims{4, 4, 64, 80, 4}, DeltaDims{1, 1, 1, 1, 1}, DeltaDims{1, 1, 8, 8, 8}}) {
    const DeltaStates states(dims, 2, 0xFF);  // rows before position 0 take no part, whatever the memory holds
    const DeltaView& delta = states.view();
    constexpr int64_t kLength = 90;
    const int64_t channels = delta.channels(), width = dims.conv_width;
    std::vector<float> weight = test::random_floats(channels * width, ++seed);
    const std::vector<float> x = test::random_floats(2 * kLength * channels, ++seed);  // [sequence, position, channel]
    std::vector<int64_t> next = {0, 0};
    for (int64_t size = 1; next[0] < kLength || next[1] < kLength; size = size * 3 % 37) {
      std::vector<int32_t> sequence, position;
      std::vector<float> rows, expected;
      std::vector<double> bounds;
      for (int64_t i = 0; i < size; ++i) {
        const auto s = static_cast<size_t>(i * i % 3 == 0 ? 0 : 1);
        if (next[s] == kLength) continue;
        const int64_t p = next[s]++;
        sequence.push_back(static_cast<int32_t>(s));
        position.push_back(static_cast<int32_t>(p));
        const auto element = [&](int64_t row, int64_t c) {
          return (static_cast<int64_t>(s) * kLength + row) * channels + c;
        };
        for (int64_t c = 0; c < channels; ++c) {
          rows.push_back(x[static_cast<size_t>(element(p, c))]);
          double sum = 0, size_of = 0;
          for (int64_t j = 0; j < width; ++j) {
            if (p - width + 1 + j < 0) continue;
            const double term = at(weight, c * width + j) * at(x, element(p - width + 1 + j, c));
            sum += term;
            size_of += std::abs(term);
          }
          expected.push_back(static_cast<float>(silu(sum)));
          bounds.push_back((2.2 * static_cast<double>(width) * size_of + 16 * std::abs(silu(sum))) * kEps + 0x1p-140);
        }
      }
      const auto count = static_cast<int64_t>(sequence.size());
      std::vector<float> out(rows.size(), NAN);
      backend().causal_conv1d(view(rows, Shape{count, channels}), view(weight, Shape{channels, width}), delta,
                              {sequence, position}, view(out, Shape{count, channels}));
      EXPECT_TRUE(test::all_close(out, expected, bounds)) << to_string(dims) << " seed " << seed;
    }
  }
}

/// float64 inside and one rounding; another for `expected`.
TEST_P(DeltaOps, Gates) {
  constexpr int64_t kHeads = 5, kRows = 200;
  std::vector<float> a = test::random_floats(kRows * kHeads, 1, 10.0f),
                     b = test::random_floats(kRows * kHeads, 2, 20.0f);
  const std::vector<float> extremes = {100, -100, 1000, -1000, 3e38f, -3e38f, 0, -0.0f, 1e-30f, 88.8f, -88.8f, -745};
  for (size_t i = 0; i < extremes.size(); ++i) a[i * 7] = b[i * 7 + 1] = extremes[i];
  std::vector<float> decay = {-1.0f, -16.0f, -1e-3f, -0.5f, -3.0f}, bias = {0, 1, -2, 0.25f, -5};
  std::vector<float> g(a.size()), beta(a.size()), expected_g, expected_beta;
  std::vector<double> bounds_g, bounds_beta;
  for (int64_t i = 0; i < kRows * kHeads; ++i) {
    const double x = at(a, i) + at(bias, i % kHeads);
    const double softplus = x > 40 ? x : std::log1p(std::exp(x));  // e^-40 is below the rounding
    const double product = at(decay, i % kHeads) * softplus;
    const double exact = std::max(product, -static_cast<double>(std::numeric_limits<float>::max()));
    expected_g.push_back(static_cast<float>(exact));
    bounds_g.push_back(2.1 * kEps * std::abs(exact) + 0x1p-149);
    expected_beta.push_back(static_cast<float>(1 / (1 + std::exp(-at(b, i)))));
    bounds_beta.push_back(2.1 * kEps * at(expected_beta, i) + 0x1p-149);
  }
  // -16 times 3e38 is beyond the floats; no other value is.
  const Shape shape{kRows, kHeads}, heads{kHeads};
  backend().delta_gates(view(a, shape), view(b, shape), view(decay, heads), view(bias, heads), view(g, shape),
                        view(beta, shape));
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[i] == -INFINITY && expected_g[i] == -std::numeric_limits<float>::max()) g[i] = expected_g[i];
  }
  EXPECT_TRUE(test::all_close(g, expected_g, bounds_g));
  EXPECT_TRUE(test::all_close(beta, expected_beta, bounds_beta));
  for (size_t i = 0; i < g.size(); ++i) EXPECT_FALSE(std::signbit(beta[i]) || g[i] > 0) << a[i] << " " << b[i];
  std::vector<float> a2 = a, b2 = b;  // in place
  backend().delta_gates(view(a2, shape), view(b2, shape), view(decay, heads), view(bias, heads), view(a2, shape),
                        view(b2, shape));
  EXPECT_TRUE(test::same_bits(b2, beta));
}

/// The sum is exact to 2^-45; the factor is rounded once, then a product; one for `expected`.
TEST_P(DeltaOps, L2NormOfSomeColumns) {
  uint32_t seed = 0;
  for (const int64_t dim : {1, 3, 16, 20, 128, 200}) {
    constexpr int64_t kRows = 30, kHeads = 3, kBefore = 7, kBehind = 2;
    const int64_t width = kBefore + kHeads * dim + kBehind;
    std::vector<float> x = test::random_floats(kRows * width, ++seed);
    for (int64_t i = 0; i < dim; ++i) x[static_cast<size_t>(kBefore + i)] = 0.0f;            // a head of zeros
    for (int64_t i = 0; i < dim; ++i) x[static_cast<size_t>(kBefore + dim + i)] *= 1e-5f;    // eps decides
    for (int64_t i = 0; i < dim; ++i) x[static_cast<size_t>(width + kBefore + i)] *= 1e19f;  // squares beyond float32
    std::vector<float> out = x, expected = x;
    std::vector<double> bounds(x.size(), 0.0);
    for (int64_t t = 0; t < kRows; ++t) {
      for (int64_t h = 0; h < kHeads; ++h) {
        const int64_t first = t * width + kBefore + h * dim;
        double sum = 0;
        for (int64_t i = first; i < first + dim; ++i) sum += at(x, i) * at(x, i);
        for (int64_t i = first; i < first + dim; ++i) {
          const double y = at(x, i) / std::sqrt(sum + static_cast<double>(1e-6f)) * static_cast<double>(0.25f);
          expected[static_cast<size_t>(i)] = static_cast<float>(y);
          bounds[static_cast<size_t>(i)] = 3.1 * kEps * std::abs(y) + 0x1p-148;
        }
      }
    }
    backend().l2_norm(view(out, Shape{kRows, width}), kBefore, kHeads, dim, 1e-6f, 0.25f);
    EXPECT_TRUE(test::all_close(out, expected, bounds)) << dim;
  }
}

/// The norm is within 3 half steps, silu and its product within 16; one for `expected`.
TEST_P(DeltaOps, GatedRmsNorm) {
  uint32_t seed = 0;
  for (const int64_t dim : {1, 8, 16, 20, 128}) {
    constexpr int64_t kRows = 20, kHeads = 3;
    const Shape shape{kRows, kHeads, dim};
    std::vector<float> x = test::random_floats(kRows * kHeads * dim, ++seed), w = test::random_floats(dim, ++seed);
    std::vector<float> z = test::random_floats(kRows * kHeads * dim, ++seed, 10.0f), out(x.size()), expected(x.size());
    z[0] = 100.0f;
    z[z.size() - 1] = -100.0f;
    std::vector<double> bounds(x.size());
    for (int64_t head = 0; head < kRows * kHeads; ++head) {
      double sum = 0;
      for (int64_t i = head * dim; i < (head + 1) * dim; ++i) sum += at(x, i) * at(x, i);
      const double factor = 1 / std::sqrt(sum / static_cast<double>(dim) + static_cast<double>(1e-6f));
      for (int64_t i = head * dim; i < (head + 1) * dim; ++i) {
        const double y = at(x, i) * factor * at(w, i % dim) * silu(at(z, i));
        expected[static_cast<size_t>(i)] = static_cast<float>(y);
        bounds[static_cast<size_t>(i)] = 20.1 * kEps * std::abs(y) + 0x1p-140;
      }
    }
    const Tensor gates = view(z, Shape{kRows, kHeads * dim});
    backend().gated_rms_norm(view(x, shape), gates, view(w, Shape{dim}), 1e-6f, view(out, shape));
    EXPECT_TRUE(test::all_close(out, expected, bounds)) << dim;
    backend().gated_rms_norm(view(x, shape), gates, view(w, Shape{dim}), 1e-6f, view(x, shape));
    EXPECT_TRUE(test::same_bits(x, out));
  }
}

/// A number with a bound on its error, and the arithmetic of float32 with a rounding for every operation (running error
/// analysis: Higham, Accuracy and Stability of Numerical Algorithms, 3.3). A fused operation rounds less.
struct Bounded {
  double value = 0, error = 0;
};
Bounded rounded(double value, double error, double roundings = 1) {
  return {value, error + roundings * kEps * (std::abs(value) + error) + 0x1p-148};
}
Bounded operator+(Bounded a, Bounded b) { return rounded(a.value + b.value, a.error + b.error); }
Bounded operator-(Bounded a, Bounded b) { return rounded(a.value - b.value, a.error + b.error); }
Bounded operator*(Bounded a, Bounded b) {
  return rounded(a.value * b.value, std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error);
}
/// Within 2 ulp, 4 half steps.
Bounded exp(Bounded x) { return rounded(std::exp(x.value), std::exp(x.value) * std::expm1(x.error), 4); }

/// One value head of one sequence: what goes in, row by row.
struct Head {
  int64_t key_dim, value_dim, rows;
  std::vector<float> q, k, v, g, beta;
};

/// The delta rule as it is written, in float64.   [rows, Dv]
std::vector<double> recurrence(const Head& h) {
  std::vector<double> s(static_cast<size_t>(h.key_dim * h.value_dim)), out;
  for (int64_t t = 0; t < h.rows; ++t) {
    for (double& x : s) x *= std::exp(at(h.g, t));
    for (int64_t c = 0; c < h.value_dim; ++c) {
      const auto element = [&](int64_t d) -> double& { return s[static_cast<size_t>(d * h.value_dim + c)]; };
      double predicted = 0, o = 0;
      for (int64_t d = 0; d < h.key_dim; ++d) predicted += element(d) * at(h.k, t * h.key_dim + d);
      const double u = at(h.beta, t) * (at(h.v, t * h.value_dim + c) - predicted);
      for (int64_t d = 0; d < h.key_dim; ++d) {
        element(d) += at(h.k, t * h.key_dim + d) * u;
        o += element(d) * at(h.q, t * h.key_dim + d);
      }
      out.push_back(o);
    }
  }
  return out;
}

/// The chunk form with a bound on each result.   [rows, Dv]
std::vector<Bounded> chunked(const Head& h) {
  constexpr int64_t kChunk = DeltaView::kChunkTokens;
  const auto size = [](int64_t a, int64_t b) { return static_cast<size_t>(a * b); };
  std::vector<Bounded> s(size(h.key_dim, h.value_dim)), out, u(size(kChunk, h.value_dim)), decay(kChunk);
  const auto exact = [](const std::vector<float>& x, int64_t i) { return Bounded{at(x, i), 0}; };
  for (int64_t anchor = 0; anchor < h.rows; anchor += kChunk) {
    const int64_t count = std::min(kChunk, h.rows - anchor);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t t = anchor + i;
      const auto now = static_cast<size_t>(i);
      decay[now] = i == 0 ? exact(h.g, t) : decay[now - 1] + exact(h.g, t);
      std::vector<Bounded> to_key(now + 1), to_query(now + 1);
      for (int64_t j = 0; j <= i; ++j) {
        Bounded key, query;
        for (int64_t d = 0; d < h.key_dim; ++d) {
          const Bounded k = exact(h.k, (anchor + j) * h.key_dim + d);
          key = key + k * exact(h.k, t * h.key_dim + d);
          query = query + k * exact(h.q, t * h.key_dim + d);
        }
        const Bounded between = exp(decay[now] - decay[static_cast<size_t>(j)]);
        to_key[static_cast<size_t>(j)] = between * key;
        to_query[static_cast<size_t>(j)] = between * query;
      }
      for (int64_t c = 0; c < h.value_dim; ++c) {
        Bounded key, query;
        for (int64_t d = 0; d < h.key_dim; ++d) {
          const Bounded& element = s[static_cast<size_t>(d * h.value_dim + c)];
          key = key + element * exact(h.k, t * h.key_dim + d);
          query = query + element * exact(h.q, t * h.key_dim + d);
        }
        const auto update = [&](int64_t j) -> Bounded& { return u[static_cast<size_t>(j * h.value_dim + c)]; };
        Bounded sum = exact(h.v, t * h.value_dim + c) - exp(decay[now]) * key, o = exp(decay[now]) * query;
        for (int64_t j = 0; j < i; ++j) {
          sum = sum - to_key[static_cast<size_t>(j)] * update(j);
          o = o + to_query[static_cast<size_t>(j)] * update(j);
        }
        update(i) = exact(h.beta, t) * sum;
        out.push_back(o + to_query[now] * update(i));
      }
    }
    if (count < kChunk) break;
    for (int64_t d = 0; d < h.key_dim; ++d) {
      for (int64_t c = 0; c < h.value_dim; ++c) {
        Bounded& element = s[static_cast<size_t>(d * h.value_dim + c)];
        element = exp(decay.back()) * element;
        for (int64_t j = 0; j < kChunk; ++j) {
          const Bounded between = exp(decay.back() - decay[static_cast<size_t>(j)]);
          element = element +
                    exact(h.k, (anchor + j) * h.key_dim + d) * (between * u[static_cast<size_t>(j * h.value_dim + c)]);
        }
      }
    }
  }
  return out;
}

/// The op on one sequence against the recurrence in float64 and the running bound of the chunk form. Returns the widest
/// bound over the largest output.
double expect_recurrence(Backend& backend, const DeltaDims& dims, int64_t rows, float decay, uint32_t seed) {
  const DeltaStates states(dims, 1, 0);
  const DeltaView& delta = states.view();
  const int64_t channels = delta.channels(), heads = dims.value_heads;
  std::vector<float> qkv = test::random_floats(rows * channels, seed), g(static_cast<size_t>(rows * heads)), beta = g;
  std::vector<float> a = test::random_floats(rows * heads, seed + 1), b = test::random_floats(rows * heads, seed + 2);
  std::vector<float> slow(static_cast<size_t>(heads), -decay), bias(static_cast<size_t>(heads), 0.0f);
  const Tensor x = view(qkv, Shape{rows, channels});
  backend.l2_norm(x, 0, dims.key_heads, dims.key_dim, 1e-6f, 1.0f / std::sqrt(static_cast<float>(dims.key_dim)));
  backend.l2_norm(x, delta.keys_column(), dims.key_heads, dims.key_dim, 1e-6f, 1.0f);
  const Shape gates{rows, heads};
  backend.delta_gates(view(a, gates), view(b, gates), view(slow, Shape{heads}), view(bias, Shape{heads}),
                      view(g, gates), view(beta, gates));
  if (rows > 20) g[static_cast<size_t>(20 * heads)] = -200.0f;  // a head forgets all: e^200 is no float
  std::vector<float> out(static_cast<size_t>(rows * heads * dims.value_dim), NAN);
  std::vector<int32_t> sequence(static_cast<size_t>(rows), 0), position;
  for (int32_t p = 0; p < rows; ++p) position.push_back(p);
  const std::vector<int32_t> certain = {static_cast<int32_t>(rows)};
  backend.delta_net(x, view(g, gates), view(beta, gates), delta, {sequence, position}, certain,
                    view(out, Shape{rows, heads, dims.value_dim}));

  std::vector<float> expected(out.size());
  std::vector<double> bounds(out.size());
  double widest = 0, largest = 0;
  for (int64_t h = 0; h < heads; ++h) {
    Head head = {dims.key_dim, dims.value_dim, rows, {}, {}, {}, {}, {}};
    const int64_t key_head = dims.key_head()[static_cast<size_t>(h)];
    for (int64_t t = 0; t < rows; ++t) {
      const auto row = qkv.begin() + t * channels;
      const auto take = [&](std::vector<float>& to, int64_t column, int64_t count) {
        to.insert(to.end(), row + column, row + column + count);
      };
      take(head.q, key_head * dims.key_dim, dims.key_dim);
      take(head.k, delta.keys_column() + key_head * dims.key_dim, dims.key_dim);
      take(head.v, delta.values_column() + h * dims.value_dim, dims.value_dim);
      head.g.push_back(g[static_cast<size_t>(t * heads + h)]);
      head.beta.push_back(beta[static_cast<size_t>(t * heads + h)]);
    }
    const std::vector<double> exact = recurrence(head);
    const std::vector<Bounded> bounded = chunked(head);
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t c = 0; c < dims.value_dim; ++c) {
        const auto from = static_cast<size_t>(t * dims.value_dim + c);
        const auto to = static_cast<size_t>((t * heads + h) * dims.value_dim + c);
        // The two forms are the same function.
        EXPECT_NEAR(bounded[from].value, exact[from], 1e-13 * (1 + std::abs(exact[from]))) << t << " " << c;
        expected[to] = static_cast<float>(exact[from]);
        bounds[to] = bounded[from].error + 1e-13 + kEps * std::abs(exact[from]);
        widest = std::max(widest, bounds[to]);
        largest = std::max(largest, std::abs(exact[from]));
      }
    }
  }
  EXPECT_TRUE(test::all_close(out, expected, bounds)) << to_string(dims) << " rows " << rows << " seed " << seed;
  return widest / largest;
}

/// The bound grows with the rows since the decay has made an error small; it must still say something.
TEST_P(DeltaOps, ChunksAreTheRecurrence) {
  uint32_t seed = 0;
  for (const DeltaDims& dims :
       {DeltaDims{1, 1, 16, 16, 4}, DeltaDims{2, 2, 8, 12, 4}, DeltaDims{2, 4, 12, 8, 4},
        DeltaDims{2, 4, 20, 16, 4, true}, DeltaDims{1, 3, 16, 20, 4}, DeltaDims{2, 6, 8, 40, 4, true},
        DeltaDims{1, 1, 1, 1, 4}, DeltaDims{1, 1, 17, 33, 4}, DeltaDims{1, 2, 128, 128, 4}}) {
    for (const int64_t rows : {1, 2, 15, 16, 17, 33, 100}) {
      if (dims.key_dim == 128 && (rows == 100 || test::emulated(GetParam()))) continue;  // soon done
      EXPECT_LT(expect_recurrence(backend(), dims, rows, 1.0f, seed += 3), 2e-3) << to_string(dims) << " " << rows;
    }
  }
  EXPECT_LT(expect_recurrence(backend(), {1, 2, 16, 16, 4}, 33, 0.01f, 500), 2e-2);
  EXPECT_LT(expect_recurrence(backend(), {1, 1, 512, 16, 4}, 20, 1.0f, 600), 2e-3);
}

}  // namespace
}  // namespace duet
