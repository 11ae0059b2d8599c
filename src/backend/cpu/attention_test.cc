#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/test_data.h"
#include "tensor/round_row.h"
#include "tests/compare.h"
#include "tests/cpu_level.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::Cpu;

constexpr int64_t kTokens = KvView::kPageTokens;
/// Key heads, of which all are alike but for where they lie: the second one is behind another, before none.
constexpr int64_t kHeads = test::kSanitized ? 2 : 3;

/// Pages of several sequences, with rubbish in every slot that nothing has been written to.
class Pages {
 public:
  Pages(int64_t sequences, int64_t pages, int64_t kv_heads, int64_t dim, float rubbish, DType type = DType::kF32) {
    view_.dtype = type;
    view_.kv_heads = kv_heads;
    view_.head_dim = dim;
    const int64_t page_bytes = view_.page_bytes();
    data_.assign(static_cast<size_t>(sequences * pages * page_bytes / 4 + 1), rubbish);
    pages_.resize(static_cast<size_t>(sequences));
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t p = 0; p < pages; ++p) {
        pages_[static_cast<size_t>(s)].push_back(reinterpret_cast<std::byte*>(data_.data()) +
                                                 (s * pages + p) * page_bytes);
      }
    }
    for (auto& p : pages_) spans_.emplace_back(p);
    view_.pages = spans_;
  }
  const KvView& view() const { return view_; }
  /// The window has let page i of sequence s go.
  void drop(int64_t s, int64_t i) { pages_[static_cast<size_t>(s)][static_cast<size_t>(i)] = nullptr; }

 private:
  std::vector<float> data_;
  std::vector<std::vector<std::byte*>> pages_;
  std::vector<std::span<std::byte* const>> spans_;
  KvView view_;
};

/// A case: rows with their places, and keys and values of all tokens of all sequences.
struct Case {
  int64_t heads = 1, kv_heads = 1, dim = 64, sequences = 1, length = 1, window = 0, chunk = 0;
  std::vector<int32_t> sequence, position;  // of the query rows
  float size = 1.0f;                        // of q
  DType type = DType::kF32;                 // of the pages

  int64_t rows() const { return static_cast<int64_t>(position.size()); }
  std::vector<float> queries(uint32_t seed) const { return test::random_floats(rows() * heads * dim, seed, size); }
  std::vector<float> tokens(uint32_t seed) const {
    return test::random_floats(sequences * length * kv_heads * dim, seed);
  }
  Pages pages(float rubbish) const {
    return Pages(sequences, (length + kTokens - 1) / kTokens, kv_heads, dim, rubbish, type);
  }
  /// As the pages hold them.
  std::vector<float> rounded(std::vector<float> rows) const {
    const auto count = static_cast<int64_t>(rows.size());
    std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(dtype_info(type), count)));
    round_row(type, rows.data(), count, bytes.data());
    dequantize(type, bytes.data(), count, rows.data());
    return rows;
  }
};

/// Rows first..last of sequence 0.
Case prefix(int64_t heads, int64_t kv_heads, int64_t dim, int64_t first, int64_t length, int64_t window = 0) {
  Case c;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.dim = dim;
  c.length = length;
  c.window = window;
  for (int64_t i = first; i < length; ++i) {
    c.sequence.push_back(0);
    c.position.push_back(static_cast<int32_t>(i));
  }
  return c;
}

void write_all(const Cpu& cpu, const Case& c, const Pages& pages, std::vector<float> k, std::vector<float> v) {
  std::vector<int32_t> sequence, position;
  for (int64_t s = 0; s < c.sequences; ++s) {
    for (int64_t i = 0; i < c.length; ++i) {
      sequence.push_back(static_cast<int32_t>(s));
      position.push_back(static_cast<int32_t>(i));
    }
  }
  const Shape shape{c.sequences * c.length, c.kv_heads, c.dim};
  cpu->kv_write(test::view(k, shape), test::view(v, shape), pages.view(), {sequence, position});
}

AttentionSpec spec_of(const Case& c) { return {1.0f / std::sqrt(static_cast<float>(c.dim)), c.window, c.chunk}; }

std::vector<float> run(const Cpu& cpu, const Case& c, const Pages& pages, std::vector<float> q) {
  std::vector<float> out(q.size(), NAN);
  const Shape shape{c.rows(), c.heads, c.dim};
  cpu->attention(test::view(q, shape), pages.view(), {c.sequence, c.position}, spec_of(c), test::view(out, shape));
  return out;
}

/// Runs a case on a level against softmax in float64.
///   A score of D products is within (D + 2) eps of S = scale sum |q k|; its weight e^(s - m) is then within a factor
///   1 + 2 (D + 2) eps S_max + 6 eps (exp: 2 ulp, subtraction: |s - m| eps), relative; sums of at most 64 terms per
///   tile and the merge of n tiles add (64 + 8 n) eps. The output is an average of values: the error is that of the
///   weights, above and below the line, times the average of |v|.
void expect_attention(const Cpu& cpu, const Case& c, uint32_t seed) {
  const Pages pages = c.pages(NAN);
  const std::vector<float> q = c.queries(seed);
  write_all(cpu, c, pages, c.tokens(seed + 1000), c.tokens(seed + 2000));
  const std::vector<float> k = c.rounded(c.tokens(seed + 1000)), v = c.rounded(c.tokens(seed + 2000));
  const std::vector<float> actual = run(cpu, c, pages, q);
  std::vector<float> expected(actual.size());
  std::vector<double> bounds(actual.size());
  const int64_t group = c.heads / c.kv_heads;
  const double scale = static_cast<double>(spec_of(c).scale);
  for (int64_t t = 0; t < c.rows(); ++t) {
    const int64_t s = c.sequence[static_cast<size_t>(t)], last = c.position[static_cast<size_t>(t)];
    const int64_t first = c.window > 0 ? std::max<int64_t>(0, last - c.window + 1) : 0;
    for (int64_t h = 0; h < c.heads; ++h) {
      const auto token = [&](int64_t j) { return ((s * c.length + j) * c.kv_heads + h / group) * c.dim; };
      const float* query = q.data() + (t * c.heads + h) * c.dim;
      std::vector<double> scores;
      double largest = -INFINITY, widest = 0, span = 0;
      for (int64_t j = first; j <= last; ++j) {
        double dot = 0, size = 0;
        for (int64_t d = 0; d < c.dim; ++d) {
          const double term = static_cast<double>(query[d]) * static_cast<double>(k[static_cast<size_t>(token(j) + d)]);
          dot += term;
          size += std::abs(term);
        }
        scores.push_back(dot * scale);
        largest = std::max(largest, scores.back());
        widest = std::max(widest, size * scale);
      }
      double total = 0;
      for (double& score : scores) {
        span = std::max(span, largest - score);
        score = std::exp(score - largest);
        total += score;
      }
      const double tiles = static_cast<double>(last / kTokens - first / kTokens + 1);
      const double weight_error =
          (2 * (static_cast<double>(c.dim) + 2) * widest + span + 6 + 64 + 8 * tiles) * test::kEps;
      for (int64_t d = 0; d < c.dim; ++d) {
        double sum = 0, size = 0;
        for (int64_t j = first; j <= last; ++j) {
          const double term =
              scores[static_cast<size_t>(j - first)] * static_cast<double>(v[static_cast<size_t>(token(j) + d)]);
          sum += term;
          size += std::abs(term);
        }
        const auto i = static_cast<size_t>((t * c.heads + h) * c.dim + d);
        expected[i] = static_cast<float>(sum / total);
        bounds[i] = 2.1 * weight_error * size / total + 0x1p-140;
      }
    }
  }
  EXPECT_TRUE(test::all_close(actual, expected, bounds))
      << "heads " << c.heads << "/" << c.kv_heads << " dim " << c.dim << " rows " << c.rows() << " length " << c.length
      << " window " << c.window << " " << dtype_info(c.type).name << " seed " << seed;
}

class AttentionLevel : public test::LevelTest {};
INSTANTIATE_TEST_SUITE_P(Attention, AttentionLevel, testing::ValuesIn(test::float_levels()),
                         [](const auto& level) { return level.param; });

TEST_P(AttentionLevel, IsWithinTheBound) {
  const Cpu cpu(GetParam());
  uint32_t seed = 1;
  for (const int64_t dim : {1, 2, 8, 15, 16, 17, 63, 64, 80, 128, 255, 256, 257, 600}) {
    expect_attention(cpu, prefix(3, 1, dim, 0, 70), ++seed);
  }
  for (const int64_t length : {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200}) {
    expect_attention(cpu, prefix(3 * kHeads, kHeads, 64, 0, length), ++seed);
    expect_attention(cpu, prefix(3 * kHeads, kHeads, 64, length - 1, length), ++seed);
  }
  expect_attention(cpu, prefix(4, 4, 32, 0, 130), ++seed);
  expect_attention(cpu, prefix(64, 1, 16, 0, 100), ++seed);
  expect_attention(cpu, prefix(130, 2, 16, 60, 70), ++seed);
  expect_attention(cpu, prefix(2, 1, 64, 2990, 3000), ++seed);
  for (const int64_t window : {1, 2, 63, 64, 65, 100, 128, 1000}) {
    expect_attention(cpu, prefix(6, 2, 32, 0, 300, window), ++seed);
    expect_attention(cpu, prefix(6, 2, 32, 299, 300, window), ++seed);
  }
  Case sharp = prefix(4, 2, 64, 0, 200);
  sharp.size = 40.0f;  // weights from 1 down to 0
  expect_attention(cpu, sharp, ++seed);
  expect_attention(cpu, prefix(2, 1, 16, 0, 0), ++seed);
}

constexpr DType kRoundedTypes[] = {DType::kF16, DType::kBF16, DType::kQ8_0};

TEST_P(AttentionLevel, RoundedPagesAreWithinTheBoundOfTheirRows) {
  const Cpu cpu(GetParam());
  uint32_t seed = 100;
  for (const DType type : kRoundedTypes) {
    const auto check = [&](Case c) {
      c.type = type;
      expect_attention(cpu, c, ++seed);
    };
    for (const int64_t dim : {32, 64, 96, 128, 256, 288, 320}) check(prefix(3, 1, dim, 0, 70));
    for (const int64_t length : {1, 15, 16, 17, 63, 64, 65, 130}) {
      check(prefix(3 * kHeads, kHeads, 64, 0, length));
      check(prefix(3 * kHeads, kHeads, 64, length - 1, length));
    }
    check(prefix(130, 2, 32, 60, 70));
    for (const int64_t window : {1, 64, 65, 100}) check(prefix(6, 2, 32, 0, 300, window));
    if (type == DType::kQ8_0) continue;  // whole blocks of 32 only
    for (const int64_t dim : {1, 2, 15, 17, 63, 80, 257}) check(prefix(4, 2, dim, 0, 70));
  }
}

/// Rows of several sequences at scattered places.
Case mixed() {
  Case c;
  c.heads = 6;
  c.kv_heads = 2;
  c.dim = 48;
  c.sequences = 4;
  c.length = 150;
  for (const auto& [sequence, first, last] :
       {std::tuple{2, 149, 150}, {0, 40, 90}, {3, 0, 1}, {1, 128, 150}, {2, 3, 4}, {0, 63, 66}}) {
    for (int position = first; position < last; ++position) {
      c.sequence.push_back(sequence);
      c.position.push_back(position);
    }
  }
  return c;
}

TEST_P(AttentionLevel, RowsOfManySequences) {
  const Cpu cpu(GetParam());
  Case c = mixed();
  expect_attention(cpu, c, 31);
  c.window = 70;
  expect_attention(cpu, c, 32);
}

Case row_of(const Case& c, int64_t t, int64_t count) {
  Case part = c;
  part.sequence.assign(c.sequence.begin() + t, c.sequence.begin() + t + count);
  part.position.assign(c.position.begin() + t, c.position.begin() + t + count);
  return part;
}

TEST_P(AttentionLevel, ARowHasTheSameBitsAloneAmongManyAndOnAnyThreads) {
  const Cpu one(GetParam(), 1), two(GetParam(), 2), three(GetParam(), 3);
  for (const int64_t window : {0, 50, 64}) {
    if (test::kSanitized && window != 50) continue;
    Case halves = prefix(9, 3, 64, 0, 150), bytes = mixed();
    halves.type = DType::kF16;
    bytes.type = DType::kQ8_0;
    bytes.dim = 64;
    for (Case c : {prefix(9, 3, 64, 0, 150), prefix(4, 4, 24, 30, 200), mixed(), halves, bytes}) {
      c.window = window;
      const Pages pages = c.pages(NAN);
      write_all(two, c, pages, c.tokens(2), c.tokens(3));
      const std::vector<float> q = c.queries(1);
      const std::vector<float> all = run(two, c, pages, q);
      EXPECT_TRUE(test::same_bits(run(one, c, pages, q), all));
      EXPECT_TRUE(test::same_bits(run(three, c, pages, q), all));
      for (const int64_t step : {1, 3, 17}) {
        std::vector<float> pieces;
        for (int64_t t = 0; t < c.rows(); t += step) {
          const int64_t count = std::min(step, c.rows() - t), width = c.heads * c.dim;
          const std::vector<float> part(q.begin() + t * width, q.begin() + (t + count) * width);
          const std::vector<float> y = run(two, row_of(c, t, count), pages, part);
          pieces.insert(pieces.end(), y.begin(), y.end());
        }
        EXPECT_TRUE(test::same_bits(pieces, all)) << "steps of " << step << " window " << window;
      }
    }
  }
}

/// The last `count` rows of each of some sequences with so many tokens.
Case decode(int64_t heads, int64_t kv_heads, int64_t dim, const std::vector<int32_t>& lengths, int32_t count = 1) {
  Case c;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.dim = dim;
  c.sequences = static_cast<int64_t>(lengths.size());
  c.length = *std::max_element(lengths.begin(), lengths.end());
  for (size_t s = 0; s < lengths.size(); ++s) {
    for (int32_t i = std::max(0, lengths[s] - count); i < lengths[s]; ++i) {
      c.sequence.push_back(static_cast<int32_t>(s));
      c.position.push_back(i);
    }
  }
  return c;
}

/// Threads share the keys of a row where rows and heads are few (CpuBackend::share_keys).
TEST_P(AttentionLevel, SharedKeysGiveTheBitsOfOneThread) {
  const bool slow = test::kSanitized || test::emulated(GetParam());
  std::vector<Cpu> several;
  for (const int threads : {2, 3, 4, 5}) {
    if (!slow || threads == 3) several.emplace_back(GetParam(), threads);
  }
  const Cpu one(GetParam(), 1);
  uint32_t seed = 0;
  const auto check = [&](const Case& c, bool with_bound = false) {
    const Pages pages = c.pages(NAN);
    const std::vector<float> q = c.queries(++seed);
    write_all(one, c, pages, c.tokens(seed + 1000), c.tokens(seed + 2000));
    const std::vector<float> expected = run(one, c, pages, q);
    for (const Cpu& cpu : several) {
      EXPECT_TRUE(test::same_bits(run(cpu, c, pages, q), expected))
          << cpu.pool->threads() << " threads, heads " << c.heads << "/" << c.kv_heads << " dim " << c.dim << " rows "
          << c.rows() << " length " << c.length << " window " << c.window << " chunk " << c.chunk << " "
          << dtype_info(c.type).name;
    }
    if (with_bound) expect_attention(several.front(), c, seed);
  };
  // One tile, an odd number of them, several; rows with and without a group; all types of pages.
  for (const int32_t length : {1, 64, 65, 300, 64 * 7, 64 * 7 + 1, 1000}) {
    check(decode(1, 1, 64, {length}), length == 300);
    check(decode(14, 2, 64, {length}));
    if (slow) continue;
    for (const DType type : kRoundedTypes) {
      Case c = decode(6, 2, 96, {length});
      c.type = type;
      check(c);
    }
  }
  for (const int64_t dim : {1, 15, 17, 40, 80, 257}) check(decode(3, 1, dim, {500}), true);
  // Windows and chunks that begin within a tile, at one, and so that rows of a run see other tiles.
  for (const int64_t reach : {1, 63, 64, 100, 130, 256, 300}) {
    Case c = decode(4, 1, 48, {700}, reach == 100 ? 70 : 1);
    c.window = reach;
    check(c, reach == 100);
    c = decode(4, 1, 48, {700}, reach == 130 ? 70 : 1);
    c.chunk = reach;
    check(c);
  }
  // Sequences of different lengths, among them a long one; some rows of each; more runs than one round has.
  check(decode(6, 2, 32, {1, 900, 64, 130, 65, 700}), true);
  check(decode(6, 2, 32, {1, 1500, 64, 130, 3}, 5));
  check(decode(2, 1, 16, std::vector<int32_t>(slow ? 40 : 150, 192)));
  // Parts of more tiles than the buffer holds: rounds, in which rows go on (D large, so that a test need not be long).
  Case rounds = decode(48, 1, 600, {500, slow ? 100 : 900});
  check(rounds);
  rounds.window = 500;
  check(rounds);
  if (slow) return;
  check(decode(2, 1, 2304, {64 * 60}));
  check(decode(12, 12, 2304, {130}));  // a part of one tile does not fit: rows are not shared
}

TEST_P(AttentionLevel, WhatLiesInOtherSlotsDoesNotMatter) {
  const Cpu cpu(GetParam());
  Case c = prefix(6, 2, 40, 0, 100);
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    c.type = type;
    c.dim = type == DType::kQ8_0 ? 64 : 40;
    const std::vector<float> q = c.queries(1);
    std::vector<std::vector<float>> results;
    for (const float rubbish : {0.0f, -0.0f, 1e30f, INFINITY, NAN}) {
      const Pages pages = c.pages(rubbish);
      write_all(cpu, c, pages, c.tokens(2), c.tokens(3));
      results.push_back(run(cpu, c, pages, q));
      EXPECT_TRUE(test::same_bits(results.back(), results.front())) << dtype_info(type).name;
    }
  }
}

TEST_P(AttentionLevel, AWideWindowIsNoWindowAndDroppedPagesAreNotRead) {
  const Cpu cpu(GetParam());
  Case c = prefix(6, 2, 40, 0, 250);
  const std::vector<float> q = c.queries(1);
  Pages pages(1, 4, c.kv_heads, c.dim, NAN);
  write_all(cpu, c, pages, c.tokens(2), c.tokens(3));
  const std::vector<float> full = run(cpu, c, pages, q);
  for (const int64_t window : {250, 251, 100000}) {
    c.window = window;
    EXPECT_TRUE(test::same_bits(run(cpu, c, pages, q), full));
  }
  c = prefix(6, 2, 40, 240, 250, 49);  // sees keys from 192 on
  const std::vector<float> tail(q.end() - 10 * 240, q.end());
  const std::vector<float> before = run(cpu, c, pages, tail);
  for (const int64_t page : {0, 1, 2}) pages.drop(0, page);
  EXPECT_TRUE(test::same_bits(run(cpu, c, pages, tail), before));
}

TEST_P(AttentionLevel, NanAndInfinityOfWhatARowSeesReachIt) {
  const Cpu cpu(GetParam());
  const Case c = prefix(2, 1, 16, 0, 140);
  for (const int64_t at : {5, 70}) {
    for (const bool in_keys : {true, false}) {
      std::vector<float> k = c.tokens(2), v = c.tokens(3);
      (in_keys ? k : v)[static_cast<size_t>(at * 16 + 3)] = NAN;
      const Pages pages(1, 3, 1, 16, NAN);
      write_all(cpu, c, pages, k, v);
      const std::vector<float> y = run(cpu, c, pages, c.queries(1));
      for (int64_t t = 0; t < 140; ++t) {
        for (int64_t d = 0; d < 16; ++d) {
          const bool broken = t >= at && (in_keys || d == 3);
          EXPECT_EQ(std::isnan(y[static_cast<size_t>(t * 32 + d)]), broken) << t << " " << d;
        }
      }
    }
  }
}

TEST_P(AttentionLevel, AKeyOfMinusInfinityHasNoWeight) {
  const Cpu cpu(GetParam());
  Case c = prefix(1, 1, 1, 0, 130);
  std::vector<float> q(130, 1.0f), k(130, 0.0f), v(130, 2.0f);
  for (int i = 0; i < 64; ++i) k[static_cast<size_t>(i)] = -INFINITY;  // the whole first tile
  for (int i = 0; i < 64; ++i) v[static_cast<size_t>(i)] = 7.0f;
  const Pages pages(1, 3, 1, 1, NAN);
  write_all(cpu, c, pages, k, v);
  const std::vector<float> y = run(cpu, c, pages, q);
  EXPECT_TRUE(std::isnan(y[10]));  // as softmax has it: 0 / 0
  EXPECT_EQ(y[64], 2.0f);
  EXPECT_EQ(y[129], 2.0f);
}

TEST(Attention, Avx2AndAvx512GiveTheSameBits) {
  if (!test::why_not("avx2").empty()) GTEST_SKIP() << test::why_not("avx2");
  const Cpu low("avx2"), high(test::why_not("avx512").empty() ? "avx512" : "avx512_emulated");
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    Case c = prefix(9, 3, 64, 0, 200);
    c.type = type;
    const Pages pages = c.pages(NAN);
    write_all(low, c, pages, c.tokens(2), c.tokens(3));
    EXPECT_TRUE(test::same_bits(run(low, c, pages, c.queries(1)), run(high, c, pages, c.queries(1))));
  }
}

}  // namespace
}  // namespace duet
