#pragma once

#include <cstdint>

namespace duet::blocks {

// Blocks with one f16 scale d (and for some one f16 minimum m). Each struct describes one block format: kSize values in
// kBytes bytes; decode() turns one block at any alignment into kSize values. `@k` is a byte offset, i the index in the
// block; nibble i is the low nibble of qs[i] for i < 16, else the high nibble of qs[i - 16]. Each product is rounded to
// float32 in the order written. Layouts: ggml-common.h of llama.cpp; order of operations: its ggml-quants.c.

/// d@0, qs[16]@2: d (nibble - 8).
struct Q4_0 {
  static constexpr int64_t kSize = 32, kBytes = 18;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, m@2, qs[16]@4: d nibble + m.
struct Q4_1 {
  static constexpr int64_t kSize = 32, kBytes = 20;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, qh u32@2, qs[16]@6: d (q - 16), q = nibble + 16 (bit i of qh).
struct Q5_0 {
  static constexpr int64_t kSize = 32, kBytes = 22;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, m@2, qh u32@4, qs[16]@8: d q + m, q as Q5_0.
struct Q5_1 {
  static constexpr int64_t kSize = 32, kBytes = 24;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, q i8[32]@2: d q.
struct Q8_0 {
  static constexpr int64_t kSize = 32, kBytes = 34;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, s@2 (d times the sum of q, not needed here), q i8[32]@4: d q. A type of activations.
struct Q8_1 {
  static constexpr int64_t kSize = 32, kBytes = 36;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, bits[16]@2: d where bit i % 8 of bits[i / 8] is set, else -d.
struct Q1_0 {
  static constexpr int64_t kSize = 128, kBytes = 18;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

/// d@0, qs[16]@2: d (q - 1), q = 2 bits of qs[i / 4] at 2 (i % 4).
struct Q2_0 {
  static constexpr int64_t kSize = 64, kBytes = 18;
  static void decode(const uint8_t* __restrict block, float* __restrict out) noexcept;
};

}  // namespace duet::blocks
