#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace duet {

/// What one Gated DeltaNet layer keeps of each sequence (float32) and where it lies in the sequence's memory. Chunks of
/// kChunkTokens positions begin at multiples of kChunkTokens, the anchors. Kept are the matrix S at an anchor that is
/// certain, k, u and G of the rows since (two chunks of each), and the last pre-convolution rows. A copy of the bytes
/// is a fork or a snapshot.
///
/// A sequence's rows in a step have positions p0, p0 + 1, ...; those before certain_end are certain, the others, at
/// most kMaxDraftTokens, are drafts that may turn out wrong. S never takes in a row that is not certain. After the step
/// the sequence may go on at any position from earliest_restart(certain_end) to its end, with whatever rows: a rejected
/// draft leaves no trace, a trim costs nothing. A step with p0 = 0 begins anew whatever the memory holds.
struct DeltaView {
  static constexpr int64_t kChunkTokens = 16;
  static constexpr int64_t kMaxDraftTokens = kChunkTokens;
  static constexpr int64_t kMaxConvWidth = 8;
  static constexpr int64_t kMaxKeyDim = 512;
  static constexpr int64_t kLanes = 16;  // columns of S that lie side by side: a panel
  int64_t key_heads = 0, value_heads = 0;
  int64_t key_dim = 0, value_dim = 0;
  int64_t conv_width = 0;  // taps of the convolution: the row's own and conv_width - 1 before
  /// [value_heads], host: h / r in safetensors (grouped), h mod key_heads in GGUF files (tiled), r = value_heads /
  /// key_heads.
  std::span<const int32_t> key_head_of_value_head;
  /// [S]: this layer's state_bytes() of each sequence, aligned to 64 bytes; not touched where a step has no rows.
  std::span<std::byte* const> states;

  /// Columns of a pre-convolution row, Q | K | V, and where K and V begin.
  int64_t channels() const { return values_column() + value_heads * value_dim; }
  int64_t keys_column() const { return key_heads * key_dim; }
  int64_t values_column() const { return 2 * key_heads * key_dim; }
  int64_t panels() const { return (value_dim + kLanes - 1) / kLanes; }
  int64_t conv_rows() const { return 2 * kChunkTokens + conv_width - 1; }

  /// The lowest position but 0 at which a sequence may go on whose certain rows ended at `certain_end`: the anchor at
  /// which S stands.
  static constexpr int64_t earliest_restart(int64_t certain_end) {
    return certain_end == 0 ? 0 : (certain_end - 1) / kChunkTokens * kChunkTokens;
  }

  // The parts, in bytes from the start. Chunk c of k, u and G lies in slot c mod 2. Lanes behind value_dim are 0.
  /// int64_t: the anchor at which S stands.
  static constexpr int64_t anchor_at() { return 0; }
  /// S of a value head [panels, key_dim, kLanes].
  int64_t matrix_at(int64_t head) const { return 64 + head * matrix_floats() * kFloat; }
  /// k of a chunk and key head [key_dim, kChunkTokens].
  int64_t keys_at(int64_t chunk, int64_t key_head) const {
    return matrix_at(value_heads) + (chunk % 2 * key_heads + key_head) * key_dim * kChunkTokens * kFloat;
  }
  /// u of a chunk and value head [panels, kChunkTokens, kLanes].
  int64_t updates_at(int64_t chunk, int64_t head) const {
    return keys_at(1, key_heads) + (chunk % 2 * value_heads + head) * panels() * kChunkTokens * kLanes * kFloat;
  }
  /// G of a chunk and value head [kChunkTokens].
  int64_t decays_at(int64_t chunk, int64_t head) const {
    return updates_at(1, value_heads) + (chunk % 2 * value_heads + head) * kChunkTokens * kFloat;
  }
  /// The pre-convolution row of a position [channels].
  int64_t conv_row_at(int64_t position) const {
    return decays_at(1, value_heads) + position % conv_rows() * channels() * kFloat;
  }
  int64_t state_bytes() const { return (decays_at(1, value_heads) + conv_rows() * channels() * kFloat + 63) / 64 * 64; }

  int64_t matrix_floats() const { return panels() * key_dim * kLanes; }

 private:
  static constexpr int64_t kFloat = 4;
};

}  // namespace duet
