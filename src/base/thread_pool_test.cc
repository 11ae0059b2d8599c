#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "tests/support.h"

namespace duet {
namespace {

TEST(ThreadPool, EveryIndexOnceInChunksOfTheGrain) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<int> hits(static_cast<size_t>(count));
        std::atomic<int> wrong = 0;
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int worker) {
          if (begin % grain != 0 || end - begin > grain || end <= begin || end > count) ++wrong;
          if (end - begin < grain && end != count) ++wrong;
          if (worker < 0 || worker >= threads) ++wrong;
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        EXPECT_EQ(wrong, 0);
        for (const int h : hits) EXPECT_EQ(h, 1);
      }
    }
  }
}

TEST(ThreadPool, CountsTheLoopsThatThreadsShare) {
  ThreadPool alone(1), pool(2);
  const auto nothing = [](int64_t, int64_t, int) {};
  for (ThreadPool* p : {&alone, &pool}) {
    p->parallel_for(5, 5, nothing);  // a single chunk
    p->parallel_for(0, 1, nothing);
    EXPECT_EQ(p->shared_loops(), 0);
    p->parallel_for(6, 5, nothing);
    p->parallel_for(100, 1, nothing, 8);
  }
  EXPECT_EQ(alone.shared_loops(), 0);
  EXPECT_EQ(pool.shared_loops(), 2);
}

TEST(ThreadPool, EveryIndexOnceWhereSeveralChunksGoAtOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const int64_t count : {1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64}) {
        for (const int64_t at_once : {1, 2, 7, 5000}) {
          std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
          std::atomic<int> wrong = 0, together = 0;
          pool.parallel_for(
              count, grain,
              [&](int64_t begin, int64_t end, int) {
                if (begin % grain != 0 || end - begin > grain * at_once || end <= begin || end > count) ++wrong;
                if ((end - begin) % grain != 0 && end != count) ++wrong;
                if (end - begin > grain) ++together;
                for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
              },
              at_once);
          EXPECT_EQ(wrong, 0);
          if (count >= 8 * threads * grain) {
            EXPECT_EQ(together > 0, at_once > 1);
          }
          for (const auto& h : hits) EXPECT_EQ(h, 1);
        }
      }
    }
  }
}

TEST(ThreadPool, ResultsOfOneLoopAreSeenByTheNext) {
  ThreadPool pool(3);
  std::vector<int64_t> values(97);
  for (int round = 0; round < 2000; ++round) {
    pool.parallel_for(97, 5, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>((i + round) % 97)] += 1;
    });
  }
  for (const int64_t v : values) EXPECT_EQ(v, 2000);
}

TEST(ThreadPool, NoTwoChunksShareAWorkerNumberAtOneTime) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<int> wrong = 0;
  pool.parallel_for(400, 1, [&](int64_t, int64_t, int worker) {
    if (busy[static_cast<size_t>(worker)].fetch_add(1) != 0) ++wrong;
    std::this_thread::yield();
    busy[static_cast<size_t>(worker)].fetch_sub(1);
  });
  EXPECT_EQ(wrong, 0);
}

/// Chunks of very different length, and a worker that is away: the others do its share, each chunk once.
TEST(ThreadPool, WhoHasDoneItsShareHelpsTheOthers) {
  using namespace std::chrono_literals;
  constexpr int64_t kChunks = 64;
  ThreadPool pool(4);
  for (const int slow : {0, 3}) {
    std::vector<std::atomic<int>> hits(kChunks);
    std::vector<std::atomic<int>> done(4);
    std::atomic<int64_t> left = kChunks;
    pool.parallel_for(kChunks, 1, [&](int64_t begin, int64_t, int worker) {
      ++hits[static_cast<size_t>(begin)];
      ++done[static_cast<size_t>(worker)];
      // The slow one leaves its first chunk when all others are done, or (its share would stay undone) after a while.
      const auto limit = std::chrono::steady_clock::now() + 20s;
      const int64_t rest = left.fetch_sub(1) - 1;
      if (worker == slow) {
        while (left.load() > 0 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
      } else if (rest > 0) {
        std::this_thread::sleep_for(100us);  // lets the others begin
      }
    });
    for (const auto& h : hits) EXPECT_EQ(h, 1);
    EXPECT_LE(done[static_cast<size_t>(slow)], 1) << slow;
    EXPECT_EQ(left, 0);
  }
}

TEST(ThreadPool, LoopsLongerThanChunksCanBeCounted) {
  ThreadPool pool(3);
  const int64_t count = (int64_t{5} << 31) + 7;
  std::atomic<int64_t> sum = 0;
  std::atomic<int> wrong = 0;
  pool.parallel_for(count, int64_t{1} << 20, [&](int64_t begin, int64_t end, int) { sum += end - begin; });
  EXPECT_EQ(sum, count);
  sum = 0;
  pool.parallel_for(int64_t{1} << 62, int64_t{1} << 40, [&](int64_t begin, int64_t end, int) {
    if (begin < 0 || end <= begin) ++wrong;
    sum += (end - begin) >> 40;
  });
  EXPECT_EQ(sum, int64_t{1} << 22);
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, ParkedWorkersWakeUp) {
  ThreadPool pool(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<int64_t> sum = 0;
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t, int) { sum += begin; });
    EXPECT_EQ(sum, 4950);
  }
}

TEST(ThreadPool, TwoCallersTakeTurns) {
  ThreadPool pool(3);
  std::atomic<int> loops = 0;
  std::atomic<int> wrong = 0;
  const auto caller = [&] {
    for (int round = 0; round < 300; ++round) {
      std::atomic<int64_t> sum = 0;
      pool.parallel_for(40, 3, [&](int64_t begin, int64_t end, int) { sum += end - begin; });
      if (sum != 40) ++wrong;
      ++loops;
    }
  };
  std::thread other(caller);
  caller();
  other.join();
  EXPECT_EQ(loops, 600);
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, RefusesNumbersOutOfRange) {
  EXPECT_ERROR(ThreadPool(-1), ErrorCode::kBadValue, "-1");
  EXPECT_ERROR(ThreadPool(1000000), ErrorCode::kBadValue, "1000000");
}

}  // namespace
}  // namespace duet
