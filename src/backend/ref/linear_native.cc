#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/ref/ref_weight.h"

namespace duet {
namespace {

/// 32 activations of a row, rounded to 8 bits: x_k is about scale q[k].
struct RoundedActivations {
  float scale = 0;
  int q[kIntegerColumns] = {};
  int sum(int64_t begin, int64_t end) const {
    int result = 0;
    for (int64_t k = begin; k < end; ++k) result += q[k];
    return result;
  }
};

RoundedActivations round_activations(const float* x) {
  RoundedActivations result;
  float largest = 0;
  for (int64_t k = 0; k < kIntegerColumns; ++k) {
    if (!std::isfinite(x[k])) {
      result.scale = std::numeric_limits<float>::quiet_NaN();
      return result;
    }
    largest = std::max(largest, std::abs(x[k]));
  }
  if (largest < 0x1p-100f) return result;  // 127 / largest must stay finite
  result.scale = largest / 127.0f;
  const float inverse = 127.0f / largest;
  for (int64_t k = 0; k < kIntegerColumns; ++k) {
    result.q[k] = static_cast<int>(std::nearbyint(x[k] * inverse));  // to the nearest, ties to even
  }
  return result;
}

}  // namespace

void linear_native(const Tensor& x, const LinearTerm& term) {
  const auto& weight = static_cast<const RefWeight&>(*term.weight);
  const int64_t rows = x.dim(0), in = weight.cols(), outs = weight.rows(), blocks = in / kIntegerColumns;
  const IntegerForm form = weight.integer_form();
  std::vector<RoundedActivations> activations(static_cast<size_t>(rows * blocks));
  for (int64_t i = 0; i < rows * blocks; ++i) {
    activations[static_cast<size_t>(i)] = round_activations(x.f32() + i * kIntegerColumns);
  }
  std::vector<IntegerBlock> w(static_cast<size_t>(blocks));
  for (int64_t o = 0; o < outs; ++o) {
    weight.integers_of_row(o, w.data());
    for (int64_t t = 0; t < rows; ++t) {
      float y = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        const IntegerBlock& block = w[static_cast<size_t>(b)];
        const RoundedActivations& a = activations[static_cast<size_t>(t * blocks + b)];
        for (int s = 0; s < form.scales; ++s) {
          const int64_t columns = kIntegerColumns / form.scales;
          int dot = 0;
          for (int64_t k = s * columns; k < (s + 1) * columns; ++k) dot += block.q[k] * a.q[k];
          y = std::fma(static_cast<float>(dot), block.scale[s] * a.scale, y);
        }
        for (int m = 0; m < form.minimums; ++m) {
          const int64_t columns = kIntegerColumns / form.minimums;
          const float sum = a.scale * static_cast<float>(a.sum(m * columns, (m + 1) * columns));
          y = std::fma(block.minimum[m], sum, y);
        }
      }
      if (term.bias.defined()) y += term.bias.f32()[o];
      float& result = term.out.f32()[t * outs + o];
      result = term.epilogue == Epilogue::kAdd ? result + y : y;
    }
  }
}

}  // namespace duet
