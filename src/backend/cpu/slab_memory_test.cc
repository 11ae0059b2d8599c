#include "backend/cpu/slab_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "tests/support.h"

namespace duet {
namespace {

constexpr int64_t kKiB = 1024, kMiB = 1024 * kKiB;

struct Piece {
  std::byte* data;
  int64_t bytes;
  std::byte filling;
};

bool holds(const Piece& piece, std::byte value) {
  return std::all_of(piece.data, piece.data + piece.bytes, [&](std::byte b) { return b == value; });
}

TEST(SlabMemory, PiecesAreZeroAlignedAndTheirOwn) {
  SlabMemory memory;
  std::mt19937_64 random(17);
  std::vector<Piece> pieces;
  const int64_t sizes[] = {1, 16 * kKiB - 1, 16 * kKiB, 16 * kKiB + 1, 100'000, kMiB, 4 * kMiB - 1, 4 * kMiB, 5 * kMiB};
  for (int round = 0; round < 400; ++round) {
    if (pieces.size() > 12 || (!pieces.empty() && random() % 3 == 0)) {
      const auto at = pieces.begin() + static_cast<int64_t>(random() % pieces.size());
      ASSERT_TRUE(holds(*at, at->filling));
      memory.release(at->data, at->bytes);
      pieces.erase(at);
      continue;
    }
    const int64_t bytes = sizes[random() % std::size(sizes)];
    const Piece piece{memory.allocate(bytes), bytes, static_cast<std::byte>(1 + random() % 255)};
    ASSERT_EQ(reinterpret_cast<uintptr_t>(piece.data) % 64, 0u);
    ASSERT_TRUE(holds(piece, std::byte{0})) << bytes;
    std::memset(piece.data, static_cast<int>(piece.filling), static_cast<size_t>(bytes));
    pieces.push_back(piece);
  }
  for (const Piece& piece : pieces) {
    EXPECT_TRUE(holds(piece, piece.filling));
    memory.release(piece.data, piece.bytes);
  }
  EXPECT_EQ(memory.slabs(), 0);
}

TEST(SlabMemory, SmallAndLargePiecesTakeNoSlab) {
  SlabMemory memory;
  std::byte* const small = memory.allocate(16 * kKiB - 1);
  std::byte* const large = memory.allocate(4 * kMiB);
  EXPECT_EQ(memory.slabs(), 0);
  std::byte* const middle = memory.allocate(2 * kMiB);
  EXPECT_EQ(memory.slabs(), 1);
  memory.release(small, 16 * kKiB - 1);
  memory.release(large, 4 * kMiB);
  memory.release(middle, 2 * kMiB);
  EXPECT_EQ(memory.slabs(), 0);
}

TEST(SlabMemory, WhatWasGivenBackServesTheNextOfItsSizeAndEmptySlabsGo) {
  SlabMemory memory;
  std::vector<std::byte*> pieces;
  for (int i = 0; i < 40; ++i) pieces.push_back(memory.allocate(3 * kMiB));  // 10 a slab
  EXPECT_EQ(memory.slabs(), 4);
  memory.release(pieces[7], 3 * kMiB);
  EXPECT_EQ(memory.allocate(3 * kMiB), pieces[7]);
  EXPECT_EQ(memory.slabs(), 4);
  for (int i = 10; i < 20; ++i) memory.release(pieces[static_cast<size_t>(i)], 3 * kMiB);
  EXPECT_EQ(memory.slabs(), 3);
  pieces[10] = memory.allocate(3 * kMiB);  // not one of the slab that is gone
  EXPECT_EQ(memory.slabs(), 4);
  std::memset(pieces[10], 1, 3 * kMiB);
  EXPECT_ERROR(memory.allocate(int64_t{1} << 60), ErrorCode::kOutOfMemory, "1152921504606846976");
}

}  // namespace
}  // namespace duet
