#pragma once

#include <cstdint>

namespace duet {

/// Sum of squares in 16 double lanes (lane i: elements i, i + 16, ...), then lane by lane: products of float32 are
/// exact in double, so each of the n/16 + 15 additions rounds once to 2^-53.
inline double sum_of_squares(const float* x, int64_t n) {
  double lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t j = 0; j < 16; ++j) lanes[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  }
  for (int64_t j = 0; i + j < n; ++j) lanes[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  double sum = lanes[0];
  for (int j = 1; j < 16; ++j) sum += lanes[j];
  return sum;
}

}  // namespace duet
