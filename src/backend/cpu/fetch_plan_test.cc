#include "backend/cpu/fetch_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "tests/support.h"

namespace duet {
namespace {

constexpr uintptr_t kLine = 64;

/// Pages at addresses that nobody reads.
struct Pages {
  KvView view;
  std::vector<std::vector<std::byte*>> tables;
  std::vector<std::span<std::byte* const>> spans;

  Pages(DType type, int64_t heads, int64_t dim, const std::vector<int64_t>& pages_of) {
    view = {.dtype = type, .kv_heads = heads, .head_dim = dim};
    uintptr_t at = uintptr_t{1} << 30;
    for (const int64_t pages : pages_of) {
      tables.emplace_back();
      for (int64_t i = 0; i < pages; ++i, at += static_cast<uintptr_t>(view.page_bytes()) + 4096) {
        tables.back().push_back(reinterpret_cast<std::byte*>(at));
      }
    }
    for (const auto& table : tables) spans.emplace_back(table);
    view.pages = spans;
  }

  /// The lines of one head's key and value of the token at `position`.
  void add(std::map<uintptr_t, int64_t>& lines, size_t sequence, int64_t position, int64_t head) const {
    const auto page =
        reinterpret_cast<uintptr_t>(view.pages[sequence][static_cast<size_t>(position / KvView::kPageTokens)]);
    const int64_t slot = position % KvView::kPageTokens, bytes = dtype_info(view.dtype).block_bytes;
    const auto touch = [&](int64_t offset) { ++lines[(page + static_cast<uintptr_t>(offset)) / kLine]; };
    if (dtype_info(view.dtype).block_size > 1) {  // asked for whole
      for (int64_t at = 0; at < view.head_bytes(); ++at)
        touch(view.keys_at(head) + at), touch(view.values_at(head) + at);
      return;
    }
    for (int64_t d = 0; d < view.head_dim; ++d) {
      touch(view.keys_at(head) + (d * KvView::kPageTokens + slot) * bytes);
      touch(view.values_at(head) + (slot * view.head_dim + d) * bytes);
    }
  }
};

std::vector<uintptr_t> visited(const FetchPlan& plan, int64_t begin, int64_t end, int64_t parts) {
  std::vector<uintptr_t> lines;
  plan.visit(begin, end, parts, [&](const std::byte* at) { lines.push_back(reinterpret_cast<uintptr_t>(at) / kLine); });
  return lines;
}

/// What `plan` asks for is what the rows touch, each line once, in whatever shares.
void expect_lines(const FetchPlan& plan, const std::map<uintptr_t, int64_t>& wanted) {
  std::map<uintptr_t, int64_t> seen;
  for (const uintptr_t line : visited(plan, 0, 1, 1)) ++seen[line];
  ASSERT_EQ(seen.size(), wanted.size());
  for (const auto& [line, count] : seen) {
    ASSERT_EQ(count, 1);
    ASSERT_TRUE(wanted.contains(line));
  }
  const std::vector<uintptr_t> whole = visited(plan, 0, 1, 1);
  for (const int64_t parts : {3, 7, 256}) {
    std::vector<uintptr_t> joined;
    for (int64_t i = 0; i < parts; ++i) {
      for (const uintptr_t line : visited(plan, i, i + 1, parts)) joined.push_back(line);
    }
    ASSERT_EQ(joined, whole) << parts;
  }
}

TEST(FetchPlan, AsksForWhatTheRowsSeeOfEveryHead) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const int64_t window : {0, 20, 100}) {
      const Pages pages(type, 3, 64, {3, 1});
      const std::vector<int32_t> sequence = {0, 0, 1}, position = {139, 140, 7};
      const AttentionSpec spec = {.window = window};
      FetchPlan plan;
      plan.expect(pages.view, {sequence, position}, spec, 2);
      std::map<uintptr_t, int64_t> wanted;
      for (size_t t = 0; t < position.size(); ++t) {
        for (int64_t at = spec.first_visible(position[t]); at <= position[t]; ++at) {
          for (int64_t head = 0; head < 3; ++head) pages.add(wanted, static_cast<size_t>(sequence[t]), at, head);
        }
      }
      SCOPED_TRACE(fmt::format("{} {}", dtype_info(type).name, window));
      expect_lines(plan, wanted);
    }
  }
}

TEST(FetchPlan, OfManyKeysOnlyThePlacesOfTheNewOnes) {
  const Pages pages(DType::kF16, 8, 128, {128});
  const std::vector<int32_t> sequence = {0}, position = {8000};
  FetchPlan plan;
  plan.expect(pages.view, {sequence, position}, {}, 2);
  std::map<uintptr_t, int64_t> wanted;
  for (int64_t head = 0; head < 8; ++head) pages.add(wanted, 0, 8000, head);
  expect_lines(plan, wanted);
}

TEST(FetchPlan, OfFewRowsOnlyThePlacesOfTheNewKeys) {
  const Pages pages(DType::kF16, 2, 64, {1, 1});
  const std::vector<int32_t> sequence = {0, 1}, position = {40, 7};
  FetchPlan plan;
  plan.expect(pages.view, {sequence, position}, {}, 2);
  std::map<uintptr_t, int64_t> wanted;
  for (int64_t head = 0; head < 2; ++head) pages.add(wanted, 0, 40, head), pages.add(wanted, 1, 7, head);
  expect_lines(plan, wanted);
}

TEST(FetchPlan, OfAPromptNothing) {
  const Pages pages(DType::kF32, 8, 128, {64});
  std::vector<int32_t> sequence(4000, 0), position(4000);
  for (size_t i = 0; i < position.size(); ++i) position[i] = static_cast<int32_t>(i);
  FetchPlan plan;
  plan.expect(pages.view, {sequence, position}, {}, 2);
  EXPECT_TRUE(visited(plan, 0, 1, 1).empty());
}

TEST(FetchPlan, PagesThatAWindowLetGoAreLeftOut) {
  Pages pages(DType::kF16, 2, 32, {3});
  pages.tables[0][0] = nullptr;
  const std::vector<int32_t> sequence = {0, 0, 0}, position = {148, 149, 150};
  FetchPlan plan;
  plan.expect(pages.view, {sequence, position}, {.window = 100}, 1);
  std::map<uintptr_t, int64_t> wanted;
  for (int64_t at = 64; at <= 150; ++at) {
    for (int64_t head = 0; head < 2; ++head) pages.add(wanted, 0, at, head);
  }
  expect_lines(plan, wanted);
  plan.clear();
  EXPECT_TRUE(visited(plan, 0, 1, 1).empty());
}

}  // namespace
}  // namespace duet
