#include "backend/router.h"

#include <cmath>

namespace duet {

namespace {

/// NaN counts as the largest, so that it is chosen and poisons the row instead of being passed over.
bool is_above(float a, float b) noexcept { return a > b || (std::isnan(a) && !std::isnan(b)); }

}  // namespace

void route_row(const float* logits, int64_t experts, RouterScore score, int64_t top_k, int32_t* ids,
               float* weights) noexcept {
  // Insertion into the k best so far.
  int64_t kept = 0;
  for (int64_t e = 0; e < experts; ++e) {
    if (kept == top_k && !is_above(logits[e], logits[ids[kept - 1]])) continue;
    int64_t at = kept < top_k ? kept++ : kept - 1;
    for (; at > 0 && is_above(logits[e], logits[ids[at - 1]]); --at) ids[at] = ids[at - 1];
    ids[at] = static_cast<int32_t>(e);
  }
  if (score == RouterScore::kSigmoid) {
    for (int64_t j = 0; j < top_k; ++j) {
      weights[j] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(logits[ids[j]]))));
    }
    return;
  }
  const double largest = logits[ids[0]];
  double sum = 0;
  if (score == RouterScore::kSoftmax) {
    for (int64_t e = 0; e < experts; ++e) sum += std::exp(static_cast<double>(logits[e]) - largest);
  } else {
    for (int64_t j = 0; j < top_k; ++j) sum += std::exp(static_cast<double>(logits[ids[j]]) - largest);
  }
  for (int64_t j = 0; j < top_k; ++j) {
    weights[j] = static_cast<float>(std::exp(static_cast<double>(logits[ids[j]]) - largest) / sum);
  }
}

}  // namespace duet
