#pragma once

#include <cstdint>

#include "backend/types.h"

namespace duet {

/// The rows of one sequence in a batch: positions begin, begin + 1, ..., end - 1, in this order, with other sequences'
/// rows anywhere between.
struct SequenceRows {
  int64_t first_row = 0;  // index in the batch
  int64_t begin = 0, end = 0;

  bool empty() const { return begin == end; }
};

inline SequenceRows rows_of(const RowPlaces& rows, int64_t sequence) {
  SequenceRows found;
  for (size_t t = 0; t < rows.sequence.size(); ++t) {
    if (rows.sequence[t] != sequence) continue;
    if (found.empty()) {
      found.first_row = static_cast<int64_t>(t);
      found.begin = found.end = rows.position[t];
    }
    ++found.end;
  }
  return found;
}

/// The next row of the sequence that row t belongs to; there is one.
inline int64_t next_row(const RowPlaces& rows, int64_t t) {
  const int32_t sequence = rows.sequence[static_cast<size_t>(t)];
  for (++t; rows.sequence[static_cast<size_t>(t)] != sequence;) ++t;
  return t;
}

}  // namespace duet
