#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace duet {

/// What one pass over a row of logits tells of each of its pieces: what comes after it can leave most of them out. The
/// pieces of a row may be passed over by several threads.
class LogitScan {
 public:
  static constexpr size_t kPiece = 1024;

  /// Of no pieces yet: scan() has to see all.   values: V
  explicit LogitScan(size_t values);
  explicit LogitScan(std::span<const float> logits);

  /// Passes over share `part` of `parts` of the pieces.   logits [V]
  void scan(std::span<const float> logits, size_t part, size_t parts);

  size_t pieces() const { return largest_.size(); }
  /// Where piece p begins; that of the last one but one ends there.
  static size_t begin_of(size_t piece) { return piece * kPiece; }
  size_t end_of(size_t piece) const { return piece + 1 < pieces() ? begin_of(piece + 1) : values_; }
  /// Of a piece, and of all, where all logits are finite.
  float largest(size_t piece) const { return largest_[piece]; }
  float largest() const { return *std::max_element(largest_.begin(), largest_.end()); }
  /// A number that at least `count` logits reach, as large as the pieces tell; the lowest float where they are too few.
  float reached_by(size_t count) const;
  /// Whether no value is an infinity or NaN.
  bool finite() const;
  /// The largest logit; ties go to the lowest id.   logits: those of the scan
  TokenId argmax(std::span<const float> logits) const;

 private:
  size_t values_;
  std::vector<float> largest_;   // [pieces]
  std::vector<uint8_t> finite_;  // [pieces]
};

}  // namespace duet
