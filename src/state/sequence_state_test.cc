#include "state/sequence_state.h"

#include <gtest/gtest.h>

#include "backend/backend.h"
#include "backend/runtime.h"

namespace duet {
namespace {

TEST(SequenceState, PagesGrowTrimAndCount) {
  const auto device = make_ref_backend();
  const KvLayerLayout first_layer{DType::kF32, 2, 8};
  const StateLayout layout({first_layer, KvLayerLayout{DType::kF32, 1, 16}});
  const int64_t page_bytes = layout.groups().at(0).page_bytes;
  EXPECT_EQ(page_bytes, 2 * (2 * 64 * 8 + 64 * 16) * 4);
  EXPECT_EQ(layout.bytes(65), 2 * page_bytes);
  SequenceState state(*device, layout);
  state.reserve(65);
  EXPECT_EQ(state.bytes(), layout.bytes(65));
  ASSERT_EQ(state.pages(0).size(), 2u);
  EXPECT_EQ(state.pages(1)[0] - state.pages(0)[0], first_layer.page_bytes());
  std::byte* const first = state.pages(0)[0];
  state.advance_to(65);
  EXPECT_EQ(state.trim(100), 65);
  EXPECT_EQ(state.trim(64), 64);
  EXPECT_EQ(state.pages(1).size(), 1u);
  state.reserve(200);
  EXPECT_EQ(state.pages(0).size(), 4u);
  EXPECT_EQ(state.pages(0)[0], first) << "a page never moves";
  EXPECT_EQ(state.trim(0), 0);
  EXPECT_EQ(state.bytes(), 0);
}

TEST(SequenceState, ForksShareWhatNeitherWritesTo) {
  const auto device = make_ref_backend();
  const StateLayout layout({KvLayerLayout{DType::kF32, 1, 8}, KvLayerLayout{DType::kF32, 1, 8}});
  SequenceState state(*device, layout);
  state.reserve(130);
  state.advance_to(70);
  const auto byte = [](const SequenceState& s, size_t page) -> std::byte& { return *s.pages(1)[page]; };
  byte(state, 0) = std::byte{1}, byte(state, 1) = std::byte{2};
  const auto fork = state.fork();
  EXPECT_EQ(fork->length_tokens(), 70);
  fork->reserve(71);
  EXPECT_EQ(fork->pages(1)[0], state.pages(1)[0]);
  EXPECT_NE(fork->pages(1)[1], state.pages(1)[1]);
  EXPECT_NE(fork->pages(0)[2], state.pages(0)[2]) << "reserved by both, to be written by both";
  EXPECT_EQ(byte(*fork, 1), std::byte{2});
  byte(*fork, 1) = std::byte{3};
  EXPECT_EQ(byte(state, 1), std::byte{2});
  std::byte* const own = state.pages(1)[1];
  state.reserve(140);
  EXPECT_EQ(state.pages(1)[1], own) << "nobody shares it any more";
  // A state cut back to a shared page gets its own before it is written.
  fork->trim(10);
  fork->reserve(11);
  EXPECT_NE(fork->pages(1)[0], state.pages(1)[0]);
  EXPECT_EQ(byte(*fork, 0), std::byte{1});
}

}  // namespace
}  // namespace duet
