#include "engine/logit_scan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

namespace duet {
namespace {

// In vectors that every 64-bit processor has, which compilers do not make of these loops by themselves, in lanes that
// do not wait for one another.
constexpr size_t kFour = 4, kLanes = 16;
using Lanes [[gnu::vector_size(16)]] = float;
using WholeLanes [[gnu::vector_size(16)]] = int32_t;

struct Piece {
  float largest;
  bool finite;
};

Piece scan_piece(const float* begin, size_t count) {
  constexpr int32_t kExponent = 0x7F800000;  // all of it is set in an infinity or NaN
  std::array<Lanes, kLanes / kFour> most;
  std::array<WholeLanes, kLanes / kFour> infinite = {};
  most.fill(Lanes{} + *begin);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t j = 0; j < most.size(); ++j) {
      Lanes v;
      std::memcpy(&v, begin + i + kFour * j, sizeof v);
      most[j] = v > most[j] ? v : most[j];
      infinite[j] |= (std::bit_cast<WholeLanes>(v) & kExponent) == kExponent;
    }
  }
  Piece piece = {*begin, true};
  for (size_t j = 0; j < most.size(); ++j) {
    for (size_t lane = 0; lane < kFour; ++lane) {
      piece.largest = std::max(piece.largest, most[j][lane]);
      piece.finite = piece.finite && infinite[j][lane] == 0;
    }
  }
  for (; i < count; ++i) {
    piece.largest = std::max(piece.largest, begin[i]);
    piece.finite = piece.finite && std::isfinite(begin[i]);
  }
  return piece;
}

}  // namespace

LogitScan::LogitScan(size_t values)
    : values_(values), largest_((values + kPiece - 1) / kPiece), finite_(largest_.size()) {}

LogitScan::LogitScan(std::span<const float> logits) : LogitScan(logits.size()) { scan(logits, 0, 1); }

void LogitScan::scan(std::span<const float> logits, size_t part, size_t parts) {
  for (size_t p = pieces() * part / parts; p < pieces() * (part + 1) / parts; ++p) {
    const Piece piece = scan_piece(logits.data() + begin_of(p), end_of(p) - begin_of(p));
    largest_[p] = piece.largest;
    finite_[p] = piece.finite ? 1 : 0;
  }
}

float LogitScan::reached_by(size_t count) const {
  if (count == 0 || count > pieces()) return std::numeric_limits<float>::lowest();
  std::vector<float> falling = largest_;
  const auto at = falling.begin() + static_cast<int64_t>(count - 1);
  std::nth_element(falling.begin(), at, falling.end(), std::greater<>());
  return *at;
}

bool LogitScan::finite() const {
  return std::all_of(finite_.begin(), finite_.end(), [](uint8_t is) { return is != 0; });
}

TokenId LogitScan::argmax(std::span<const float> logits) const {
  const auto best = std::max_element(largest_.begin(), largest_.end());  // the first of equal ones
  const auto piece = static_cast<size_t>(best - largest_.begin());
  size_t i = begin_of(piece);
  while (i < end_of(piece) && logits[i] != *best) ++i;
  return TokenId{static_cast<int32_t>(i == end_of(piece) ? 0 : i)};
}

}  // namespace duet
