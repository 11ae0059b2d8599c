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

/// Pages of a local layer that are there, as bits.
std::vector<bool> held(const SequenceState& state, int64_t layer) {
  std::vector<bool> pages;
  for (const std::byte* page : state.pages(layer)) pages.push_back(page != nullptr);
  return pages;
}

TEST(SequenceState, LocalLayersKeepWhatCanStillBeSeen) {
  const auto device = make_ref_backend();
  KvLayerLayout windowed{DType::kF32, 1, 8}, chunked{DType::kF32, 1, 8};
  windowed.window = 70;
  chunked.chunk = 100;
  const StateLayout layout({KvLayerLayout{DType::kF32, 1, 8}, windowed, chunked});
  EXPECT_FALSE(layout.trims_anywhere());
  SequenceState state(*device, layout);
  const auto go_to = [&](int64_t tokens) {
    state.reserve(tokens);
    state.advance_to(tokens);
  };
  go_to(215);  // 16 drafts may go again: the window reaches back to 215 - 16 - 69 = 130, the chunk's first is 100
  EXPECT_EQ(held(state, 0), (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(held(state, 1), (std::vector<bool>{false, false, true, true}));
  EXPECT_EQ(held(state, 2), (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(state.trim(214), 214);
  EXPECT_EQ(state.trim(200), 200) << "the window reaches back to 131";
  state.snapshot();
  const auto fork = state.fork();
  go_to(400);
  EXPECT_EQ(held(state, 1), (std::vector<bool>{false, false, false, false, true, true, true}));
  EXPECT_EQ(state.trim(250), 200) << "as the snapshot has it";
  EXPECT_EQ(held(state, 1), (std::vector<bool>{false, false, true, true}));
  EXPECT_EQ(state.trim(150), 0) << "the window's pages are gone";
  EXPECT_EQ(state.bytes(), 0);
  EXPECT_EQ(fork->length_tokens(), 200);
  EXPECT_EQ(held(*fork, 1), (std::vector<bool>{false, false, true, true}));
}

TEST(SequenceState, AChunkBeginsWithNothing) {
  const auto device = make_ref_backend();
  KvLayerLayout chunked{DType::kF32, 1, 8};
  chunked.chunk = 100;
  const StateLayout layout({chunked, KvLayerLayout{DType::kF32, 1, 8}});
  SequenceState state(*device, layout);
  state.reserve(350);
  state.advance_to(350);
  EXPECT_EQ(state.trim(290), 200);
  EXPECT_EQ(layout.bytes(350), layout.groups()[0].page_bytes * 3 + layout.groups()[1].page_bytes * 6);
}

TEST(SequenceState, RecurrentLayersGoBackToTheAnchorOrToASnapshot) {
  const auto device = make_ref_backend();
  DeltaLayerLayout delta{1, 2, 8, 8, 4, {0, 0}};
  const StateLayout layout({delta, KvLayerLayout{DType::kF32, 1, 8}, delta});
  EXPECT_EQ(layout.recurrent_bytes(), 2 * delta.bytes());
  SequenceState state(*device, layout);
  const auto go_to = [&](int64_t tokens) {
    state.reserve(tokens);
    state.recurrent(2)[0] = static_cast<std::byte>(tokens);
    state.advance_to(tokens);
  };
  go_to(40);
  EXPECT_EQ(state.recurrent(2) - state.recurrent(0), delta.bytes());
  EXPECT_EQ(state.trim(35), 35);
  EXPECT_EQ(state.trim(32), 32) << "S stands at anchor 32";
  state.snapshot();
  const auto fork = state.fork();
  go_to(100);
  EXPECT_EQ(fork->recurrent(2)[0], std::byte{40}) << "a fork keeps its own";
  EXPECT_EQ(state.trim(90), 32) << "S stands at 96, the snapshot's at 32";
  EXPECT_EQ(state.recurrent(2)[0], std::byte{40});
  state.reserve(33);
  EXPECT_NE(state.recurrent(2), fork->recurrent(2)) << "copied before it is written";
  EXPECT_EQ(state.trim(31), 0);
  EXPECT_EQ(state.length_tokens(), 0);
  for (int64_t tokens = 10; tokens <= 80; tokens += 10) {
    go_to(tokens);
    state.snapshot();
  }
  EXPECT_EQ(state.trim(39), 0) << "only the newest snapshots are kept: 50 to 80";
  go_to(50);
  state.snapshot();
  go_to(80);
  EXPECT_EQ(state.trim(48), 48);
  go_to(90);
  EXPECT_EQ(state.trim(50), 48) << "what the snapshot held behind 48 were other tokens";
}

/// The most bytes that a state with snapshots, kept as the engine keeps them, takes on its way.
int64_t highest_bytes(const StateLayout& layout, int64_t prompt, int64_t tokens, int64_t step_rows) {
  const auto device = make_ref_backend();
  SequenceState state(*device, layout);
  int64_t highest = 0;
  while (state.length_tokens() < tokens) {
    const int64_t begin = state.length_tokens();
    const int64_t end = begin < prompt ? std::min(prompt, begin + step_rows) : begin + 1;
    state.reserve(end);
    const bool changes = begin < prompt || end % 64 <= 1;  // a page begins or ends
    if (changes) highest = std::max(highest, state.bytes());
    state.advance_to(end);
    if (end / 1024 > begin / 1024 || end == prompt) state.snapshot();
    if (changes) highest = std::max(highest, state.bytes());
  }
  return highest;
}

TEST(SequenceState, SnapshotsTakeWhatIsPlanned) {
  KvLayerLayout windowed{DType::kF32, 1, 8}, chunked{DType::kF32, 1, 8};
  windowed.window = 500;
  chunked.chunk = 2048;
  const KvLayerLayout full{DType::kF32, 1, 8};
  const DeltaLayerLayout delta{1, 2, 8, 8, 4, {0, 0}};
  const std::vector<std::vector<LayerLayout>> models = {
      {windowed}, {chunked, full}, {delta, full}, {windowed, chunked}};
  for (const std::vector<LayerLayout>& layers : models) {
    const StateLayout layout(layers);
    int64_t local_page = 0;
    for (const StateLayout::PageGroup& group : layout.groups())
      local_page += group.reach.is_local() ? group.page_bytes : 0;
    for (const int64_t tokens : {int64_t{100}, int64_t{1500}, int64_t{9216}, int64_t{9300}}) {
      for (const int64_t step_rows : {int64_t{256}, int64_t{100}}) {
        const int64_t planned = layout.bytes(tokens, step_rows) +
                                layout.snapshot_bytes(tokens, step_rows, SequenceState::kMaxSnapshots, 1024);
        int64_t highest = 0;
        for (const int64_t prompt : {tokens, tokens / 2, int64_t{60}}) {
          highest = std::max(highest, highest_bytes(layout, prompt, tokens, step_rows));
        }
        SCOPED_TRACE(testing::Message() << layers.size() << " layers, " << tokens << " in steps of " << step_rows);
        EXPECT_LE(highest, planned);
        constexpr int64_t kSlackPages = 32;  // full and chunked layers need not hold the most at the same time
        EXPECT_GE(highest + kSlackPages * local_page + layout.recurrent_bytes(), planned);
      }
    }
  }
}

}  // namespace
}  // namespace duet
