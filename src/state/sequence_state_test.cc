#include "state/sequence_state.h"

#include <gtest/gtest.h>

#include "backend/backend.h"
#include "backend/runtime.h"

namespace duet {
namespace {

TEST(SequenceState, PagesGrowTrimAndCount) {
  const auto device = make_ref_backend();
  const StateLayout layout{{{DType::kF32, 2, 8}, {DType::kF32, 1, 16}}};
  EXPECT_EQ(layout.page_bytes(), 2 * (2 * 64 * 8 + 64 * 16) * 4);
  EXPECT_EQ(layout.bytes(65), 2 * layout.page_bytes());
  SequenceState state(*device, layout);
  state.reserve(65);
  EXPECT_EQ(state.bytes(), layout.bytes(65));
  ASSERT_EQ(state.pages(0).size(), 2u);
  EXPECT_EQ(state.pages(1)[0] - state.pages(0)[0], layout.layers[0].page_bytes());
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

}  // namespace
}  // namespace duet
