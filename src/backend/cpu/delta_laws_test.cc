// The row law of Gated DeltaNet, bitwise: whole layers (convolution to gated norm) in every split into steps, beside
// other sequences, on any number of threads, with drafts accepted and rejected, forked and restarted.
#include <gtest/gtest.h>

#include <functional>

#include "backend/cpu/delta_test_data.h"
#include "tests/compare.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::Cpu;
using test::delta_rows;
using test::DeltaDims;
using test::DeltaInputs;
using test::DeltaRow;
using test::DeltaStates;

using Rows = std::vector<std::vector<float>>;
constexpr int kRubbish = 0xFF;  // NaN everywhere, the anchor -1

/// All levels of the processor, and the reference.
std::vector<std::string> backends() {
  std::vector<std::string> names = test::float_levels();
  names.emplace_back("ref");
  return names;
}

struct Tested {
  explicit Tested(const std::string& name, int threads = 2) : cpu(name == "ref" ? "" : name, threads) {
    if (name == "ref") ref = make_ref_backend();
  }
  Backend& operator*() const { return ref ? *ref : *cpu.backend; }
  Cpu cpu;
  std::unique_ptr<Backend> ref;
};

class DeltaLaw : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "ref") return;
    if (const std::string reason = test::why_not(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  }
  /// Slow backends take fewer cases.
  bool slow() const { return GetParam() == "ref" || test::kSanitized || test::emulated(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Delta, DeltaLaw, testing::ValuesIn(backends()), [](const auto& level) { return level.param; });

testing::AssertionResult same_rows(const Rows& actual, const Rows& expected, int64_t first = 0) {
  for (size_t i = 0; i < actual.size(); ++i) {
    const auto at = static_cast<size_t>(first) + i;
    if (at >= expected.size()) return testing::AssertionFailure() << "too many rows";
    if (const auto same = test::same_bits(actual[i], expected[at]); !same) {
      return testing::AssertionFailure() << "row " << at << ": " << same.message();
    }
    if (!(std::abs(actual[i][0]) < 1e6f)) return testing::AssertionFailure() << "row " << at << " is " << actual[i][0];
  }
  return testing::AssertionSuccess();
}

/// A step of a layer: the output of every row [Hv Dv], with what came before the gated norm in front [Hv Dv]. The CPU
/// makes the step in both ways, which must leave the same bits.
Rows delta_step(Backend& backend, const DeltaDims& dims, const DeltaStates& states, const std::vector<DeltaRow>& batch,
                const std::map<int64_t, int64_t>& certain_end = {}) {
  const bool both = backend.name() == "cpu";
  DeltaInputs inputs(dims, states, batch, certain_end);
  std::vector<float> fused, after;
  if (both) {
    const std::vector<float> before = states.floats();
    fused = inputs.mix(backend, true);
    after = states.floats();
    states.set_floats(before);
  }
  const auto& [o, y] = inputs.mix_apart(backend);
  if (both) {
    EXPECT_TRUE(test::same_bits(fused, y)) << to_string(dims);
    EXPECT_TRUE(test::same_bits(after, states.floats())) << to_string(dims) << ": states";
  }
  Rows results;
  for (int64_t t = 0, width = inputs.width(); t < inputs.rows(); ++t) {
    std::vector<float> row(o.begin() + t * width, o.begin() + (t + 1) * width);
    row.insert(row.end(), y.begin() + t * width, y.begin() + (t + 1) * width);
    results.push_back(std::move(row));
  }
  return results;
}

/// One text in steps whose sizes `next` gives.
Rows in_steps(Backend& backend, const DeltaDims& dims, int64_t length, const std::function<int64_t(int64_t)>& next) {
  const DeltaStates states(dims, 1, kRubbish);
  Rows all;
  for (int64_t p = 0; p < length;) {
    const int64_t count = std::min(next(p), length - p);
    for (auto& row : delta_step(backend, dims, states, delta_rows(p, p + count))) all.push_back(std::move(row));
    p += count;
  }
  return all;
}

Rows at_once(Backend& backend, const DeltaDims& dims, int64_t length) {
  return in_steps(backend, dims, length, [&](int64_t) { return length; });
}

const std::vector<DeltaDims>& some_dims() {
  static const std::vector<DeltaDims> kDims = {
      {2, 4, 16, 16, 4, false}, {3, 3, 12, 8, 2, false}, {2, 6, 20, 36, 3, true}, {1, 2, 8, 20, 4, false}};
  return kDims;
}

TEST_P(DeltaLaw, EverySplitOfAPrompt) {
  const Tested backend(GetParam());
  for (const DeltaDims& dims : some_dims()) {
    const Rows whole = at_once(*backend, dims, 40);
    for (int64_t size = 1; size <= 40; ++size) {
      EXPECT_TRUE(same_rows(in_steps(*backend, dims, 40, [&](int64_t) { return size; }), whole))
          << to_string(dims) << " steps of " << size;
      EXPECT_TRUE(same_rows(in_steps(*backend, dims, 40, [&](int64_t p) { return p == 0 ? size : 40; }), whole))
          << to_string(dims) << " cut at " << size;
    }
    const Rows longer = at_once(*backend, dims, 150);
    for (const int64_t size : {1, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100}) {
      EXPECT_TRUE(same_rows(in_steps(*backend, dims, 150, [&](int64_t) { return size; }), longer))
          << to_string(dims) << " steps of " << size;
    }
    std::mt19937 random(5);
    for (int round = 0; round < (slow() ? 3 : 30); ++round) {
      const auto any = [&](int64_t) { return static_cast<int64_t>(1 + random() % (1U << random() % 7)); };
      EXPECT_TRUE(same_rows(in_steps(*backend, dims, 150, any), longer)) << to_string(dims) << " round " << round;
    }
  }
}

TEST_P(DeltaLaw, SequencesAndThreadsDoNotMatter) {
  for (const DeltaDims& dims : {DeltaDims{2, 4, 16, 36, 4, true}, DeltaDims{1, 1, 12, 128, 4, false}}) {
    std::vector<Rows> alone;
    for (const int64_t text : {0, 1, 2}) {
      const Tested backend(GetParam(), 1);
      const DeltaStates states(dims, 3, kRubbish);
      alone.push_back(delta_step(*backend, dims, states, delta_rows(0, 120, text)));
    }
    for (const int threads : {1, 2, 3}) {
      const Tested backend(GetParam(), threads);
      const DeltaStates states(dims, 3, kRubbish);
      std::mt19937 random(static_cast<uint32_t>(threads));
      std::vector<int64_t> next(3, 0);
      while (*std::min_element(next.begin(), next.end()) < 100) {
        // Some rows of some sequences, shuffled into one another.
        std::vector<DeltaRow> batch;
        for (int i = static_cast<int>(random() % 40); i >= 0; --i) {
          const auto s = static_cast<int64_t>(random() % 3);
          if (next[static_cast<size_t>(s)] < 120) batch.push_back({s, s, next[static_cast<size_t>(s)]++});
        }
        const Rows rows = delta_step(*backend, dims, states, batch);
        for (size_t i = 0; i < batch.size(); ++i) {
          EXPECT_TRUE(same_rows({rows[i]}, alone[static_cast<size_t>(batch[i].text)], batch[i].position))
              << threads << " threads, sequence " << batch[i].sequence;
        }
      }
    }
  }
}

/// Rows [p, p + 1 + drafts) of which only the first is certain and the first 1 + accepted are the text's.
std::vector<DeltaRow> drafted(int64_t p, int64_t drafts, int64_t accepted, uint32_t which) {
  std::vector<DeltaRow> batch = delta_rows(p, p + 1 + drafts);
  for (size_t i = static_cast<size_t>(accepted) + 1; i < batch.size(); ++i) batch[i].which = which;
  return batch;
}

TEST_P(DeltaLaw, ARejectedDraftLeavesNoTrace) {
  const Tested backend(GetParam());
  const DeltaDims dims = {1, 2, 12, 20, 4, false};
  constexpr int64_t kLength = 110;
  const Rows plain = at_once(*backend, dims, kLength);
  const auto continues = [&](const DeltaStates& states, int64_t p) {
    // A plain step, one with drafts that are all wrong, and the rest.
    EXPECT_TRUE(same_rows(delta_step(*backend, dims, states, delta_rows(p, p + 1)), plain, p));
    const Rows wrong = delta_step(*backend, dims, states, drafted(p + 1, 16, 0, 9), {{0, p + 2}});
    EXPECT_TRUE(same_rows({wrong[0]}, plain, p + 1));
    EXPECT_TRUE(same_rows(delta_step(*backend, dims, states, delta_rows(p + 2, kLength)), plain, p + 2));
  };
  for (const int64_t p : {0, 1, 14, 15, 16, 17, 30, 31, 32, 33, 47, 48, 62, 63, 64, 65}) {
    for (const int64_t drafts : slow() ? std::vector<int64_t>{16} : std::vector<int64_t>{1, 2, 15, 16}) {
      for (int64_t accepted = 0; accepted <= drafts; accepted += slow() ? 4 : 1) {
        SCOPED_TRACE("drafts behind " + std::to_string(p) + ": " + std::to_string(accepted) + " of " +
                     std::to_string(drafts));
        const DeltaStates states(dims, 1, kRubbish);
        if (p > 0) delta_step(*backend, dims, states, delta_rows(0, p));
        Rows rows = delta_step(*backend, dims, states, drafted(p, drafts, accepted, 1), {{0, p + 1}});
        rows.resize(static_cast<size_t>(accepted) + 1);
        EXPECT_TRUE(same_rows(rows, plain, p));
        continues(states, p + 1 + accepted);
      }
    }
  }
  // Drafts alone: nothing of the step is certain.
  for (const int64_t p : {0, 1, 15, 16, 17, 32, 40}) {
    for (int64_t accepted = 0; accepted <= 16; accepted += slow() ? 4 : 1) {
      const DeltaStates states(dims, 1, kRubbish);
      if (p > 0) delta_step(*backend, dims, states, delta_rows(0, p));
      std::vector<DeltaRow> batch = delta_rows(p, p + 16);
      for (size_t i = static_cast<size_t>(accepted); i < 16; ++i) batch[i].which = 1;
      Rows rows = delta_step(*backend, dims, states, batch, {{0, p}});
      rows.resize(static_cast<size_t>(accepted));
      EXPECT_TRUE(same_rows(rows, plain, p));
      continues(states, p + accepted);
    }
  }
}

TEST_P(DeltaLaw, AnyRunOfDrafts) {
  const Tested backend(GetParam());
  for (const DeltaDims& dims : some_dims()) {
    constexpr int64_t kLength = 200;
    const Rows plain = at_once(*backend, dims, kLength + 17);
    for (uint32_t seed = 1; seed <= (slow() ? 2U : 12U); ++seed) {
      std::mt19937 random(seed);
      const DeltaStates states(dims, 1, kRubbish);
      for (int64_t p = 0; p < kLength;) {
        const int64_t certain = 1 + static_cast<int64_t>(random() % (random() % 5 == 0 ? 40 : 2));
        const auto drafts = static_cast<int64_t>(random() % 17);
        const auto accepted = static_cast<int64_t>(random() % static_cast<uint32_t>(drafts + 1));
        if (p + certain + drafts > kLength + 17) break;
        std::vector<DeltaRow> batch = delta_rows(p, p + certain + drafts);
        for (int64_t i = certain + accepted; i < certain + drafts; ++i) batch[static_cast<size_t>(i)].which = random();
        Rows rows = delta_step(*backend, dims, states, batch, {{0, p + certain}});
        rows.resize(static_cast<size_t>(certain + accepted));
        ASSERT_TRUE(same_rows(rows, plain, p)) << to_string(dims) << " seed " << seed;
        p += certain + accepted;
        // Now and then back to where the state still can.
        if (random() % 4 == 0) {
          const int64_t lowest = DeltaView::earliest_restart(p - accepted);
          p = lowest + static_cast<int64_t>(random() % static_cast<uint32_t>(p - lowest + 1));
        }
      }
    }
  }
}

TEST_P(DeltaLaw, RestartsAtEveryPositionSinceTheAnchor) {
  const Tested backend(GetParam());
  const DeltaDims dims = {2, 2, 8, 12, 3, false};
  const Rows plain = at_once(*backend, dims, 120);
  for (const int64_t length : {1, 15, 16, 17, 31, 32, 33, 48, 64, 70}) {
    EXPECT_EQ(DeltaView::earliest_restart(length), (length - 1) / 16 * 16);
    for (int64_t p = DeltaView::earliest_restart(length); p <= length; ++p) {
      const DeltaStates states(dims, 1, kRubbish);
      std::vector<DeltaRow> first = delta_rows(0, length + (p % 2 == 0 ? 16 : 0));  // now and then with wrong drafts
      for (auto i = static_cast<size_t>(length); i < first.size(); ++i) first[i].which = 7;
      delta_step(*backend, dims, states, first, {{0, length}});
      // Now and then another text behind p, then the text once more.
      if (p % 3 != 0) {
        std::vector<DeltaRow> other = delta_rows(p, p + 1);
        other[0].which = 4;
        delta_step(*backend, dims, states, other);
      }
      EXPECT_TRUE(same_rows(delta_step(*backend, dims, states, delta_rows(p, 120)), plain, p)) << length << " " << p;
      EXPECT_TRUE(same_rows(delta_step(*backend, dims, states, delta_rows(0, 50)), plain)) << "from the start";
    }
  }
}

TEST_P(DeltaLaw, ACopyOfTheBytesIsAFork) {
  const Tested backend(GetParam());
  const DeltaDims dims = {2, 4, 16, 20, 4, true};
  const Rows plain = at_once(*backend, dims, 90);
  for (const int64_t length : {1, 15, 16, 17, 32, 40, 64}) {
    DeltaStates states(dims, 2, kRubbish);
    delta_step(*backend, dims, states, delta_rows(0, length));
    states.copy(0, 1);
    std::vector<DeltaRow> batch;  // the fork goes on with another text beside the first
    for (int64_t p = length; p < 90; ++p) {
      batch.push_back({0, 0, p});
      batch.push_back({1, 5, p});
    }
    const Rows both = delta_step(*backend, dims, states, batch);
    for (size_t i = 0; i < both.size(); i += 2) {
      EXPECT_TRUE(same_rows({both[i]}, plain, batch[i].position)) << length;
      EXPECT_FALSE(same_rows({both[i + 1]}, plain, batch[i].position)) << "the same text?";
    }
  }
}

TEST(Delta, Avx2AndAvx512GiveTheSameBits) {
  if (!test::why_not("avx2").empty()) GTEST_SKIP() << test::why_not("avx2");
  const Cpu low("avx2"), high(test::why_not("avx512").empty() ? "avx512" : "avx512_emulated");
  for (const DeltaDims& dims : some_dims()) {
    EXPECT_TRUE(same_rows(at_once(*high.backend, dims, 70), at_once(*low.backend, dims, 70)));
  }
}

/// What a NaN in one number of one token may reach: its own column of its own head where it is a value, the heads that
/// read its key head where it is a query (its row alone) or a key.
TEST_P(DeltaLaw, NanReachesWhatItMustAlone) {
  const Tested backend(GetParam());
  constexpr int64_t kHeads = 4, kKeyHeads = 2, kKeyDim = 12, kValueDim = 20, kRows = 40, kAt = 18;
  const DeltaDims dims = {kKeyHeads, kHeads, kKeyDim, kValueDim, 4, false};
  enum What { kQuery, kKey, kValue, kGate, kBeta };
  for (const What what : {kQuery, kKey, kValue, kGate, kBeta}) {
    const DeltaStates states(dims, 2, 0);
    const DeltaView& delta = states.view();
    const int64_t channels = delta.channels();
    std::vector<float> qkv = test::random_floats(2 * kRows * channels, 1, 0.3f), out(2 * kRows * kHeads * kValueDim);
    std::vector<float> g(2 * kRows * kHeads, -0.5f), beta(2 * kRows * kHeads, 0.5f);
    std::vector<int32_t> sequence, position;
    for (int32_t t = 0; t < 2 * kRows; ++t) {
      sequence.push_back(t % 2);
      position.push_back(t / 2);
    }
    constexpr int64_t kRow = 2 * kAt;  // of sequence 0
    switch (what) {
      case kQuery:
        qkv[kRow * channels + kKeyDim + 3] = NAN;
        break;  // key head 1: value heads 2 and 3
      case kKey:
        qkv[static_cast<size_t>(kRow * channels + delta.keys_column() + kKeyDim + 3)] = NAN;
        break;
      case kValue:
        qkv[static_cast<size_t>(kRow * channels + delta.values_column() + 2 * kValueDim + 17)] = NAN;
        break;
      case kGate:
        g[kRow * kHeads + 2] = NAN;
        break;
      case kBeta:
        beta[kRow * kHeads + 2] = NAN;
        break;
    }
    const std::vector<int32_t> certain = {kRows, kRows};
    (*backend).delta_net(test::view(qkv, Shape{2 * kRows, channels}), test::view(g, Shape{2 * kRows, kHeads}),
                         test::view(beta, Shape{2 * kRows, kHeads}), delta, {sequence, position}, certain,
                         test::view(out, Shape{2 * kRows, kHeads, kValueDim}));
    for (int64_t t = 0; t < 2 * kRows; ++t) {
      for (int64_t h = 0; h < kHeads; ++h) {
        for (int64_t c = 0; c < kValueDim; ++c) {
          bool broken = t % 2 == 0 && t / 2 >= kAt;
          broken = broken && (what == kQuery || what == kKey ? h >= 2 : h == 2);
          if (what == kQuery) broken = broken && t / 2 == kAt;
          if (what == kValue) broken = broken && c == 17;
          EXPECT_EQ(std::isnan(out[static_cast<size_t>((t * kHeads + h) * kValueDim + c)]), broken)
              << what << " row " << t << " head " << h << " column " << c;
        }
      }
    }
  }
}

}  // namespace
}  // namespace duet
