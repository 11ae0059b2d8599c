#include "base/done_once.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/thread_pool.h"

namespace duet {
namespace {

TEST(DoneOnce, EveryPartIsDoneOnceBeforeWhoNeedsItGoesOn) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    DoneOnce parts(37);
    EXPECT_EQ(parts.most(), 37);
    for (int round = 0; round < 200; ++round) {
      const int64_t count = round % 38;
      parts.begin(count);
      std::vector<int64_t> made(37, 0);  // plain numbers: ThreadSanitizer sees whether they are handed over
      std::atomic<int64_t> wrong = 0, begun = 0;
      pool.parallel_for(100, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          const auto work = [&](int64_t part) {
            ++begun;
            if (round % 50 == 7) std::this_thread::yield();
            made[static_cast<size_t>(part)] += part + 1;
          };
          if (round % 2 == 0) {
            parts.need_all(work);
          } else if (count > 0) {
            const int64_t part = i % count;
            parts.need(part, [&] { work(part); });
            if (made[static_cast<size_t>(part)] != part + 1) ++wrong;
            continue;
          }
          for (int64_t part = 0; part < count; ++part) {
            if (made[static_cast<size_t>(part)] != part + 1) ++wrong;
          }
        }
      });
      EXPECT_EQ(wrong, 0);
      EXPECT_EQ(begun, count);
    }
  }
}

}  // namespace
}  // namespace duet
