#include "terminal/progress.h"

#include <gtest/gtest.h>

#include <vector>

namespace duet {
namespace {

using std::chrono::milliseconds;

TEST(HumanBytes, KeepsThreeDigits) {
  EXPECT_EQ(human_bytes(0), "0 bytes");
  EXPECT_EQ(human_bytes(999), "999 bytes");
  EXPECT_EQ(human_bytes(1000), "1.00 kB");
  EXPECT_EQ(human_bytes(98'362'432), "98.4 MB");
  EXPECT_EQ(human_bytes(999'499), "999 kB");
  EXPECT_EQ(human_bytes(999'500), "1.00 MB");
  EXPECT_EQ(human_bytes(1'117'320'768), "1.12 GB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "18.4 EB");
}

TEST(ProgressLine, HasBarSizesRateAndTimeLeft) {
  EXPECT_EQ(progress_line("m", 50'000'000, 100'000'000, 10e6, 78),
            "m  [============>           ]   50 %  50.0 of 100 MB      10.0 MB/s  0:05 left");
  EXPECT_EQ(progress_line("m", 100'000'000, 100'000'000, 0, 70), "m  [================]  100 %  100 of 100 MB");
}

TEST(ProgressLine, WideNamesAreMeasuredInColumns) {
  const std::string wide = progress_line("東京", 50'000'000, 100'000'000, 10e6, 78);
  const std::string narrow = progress_line("abcd", 50'000'000, 100'000'000, 10e6, 78);
  EXPECT_EQ(wide.substr(std::string_view("東京").size()), narrow.substr(4));
}

TEST(ProgressLine, KeepsTheSizeOfTheBar) {
  const auto end_of_bar = [](uint64_t done_bytes, double rate) {
    return progress_line("qwen2.5-coder-1.5b", done_bytes, 1'117'320'768, rate, 79).find(']');
  };
  const size_t end = end_of_bar(0, 0);
  EXPECT_NE(end, std::string::npos);
  for (uint64_t done = 0; done <= 1'117'320'768; done += 999'983) {
    ASSERT_EQ(end_of_bar(done, 50e6), end) << done;
  }
}

TEST(ProgressLine, LeavesOutWhatDoesNotFit) {
  for (int width = 0; width < 120; ++width) {
    const std::string line = progress_line("a-model", 30'000'000, 100'000'000, 1234567, width);
    EXPECT_LE(line.size(), static_cast<size_t>(width)) << line;
    if (width >= 16) {
      EXPECT_NE(line.find("30 %"), std::string::npos) << line;
    }
  }
  EXPECT_EQ(progress_line("a-model", 1, 2, 0, -1), "");
}

TEST(ProgressLine, BearsExtremes) {
  EXPECT_NE(progress_line("m", 5, 0, 0, 80).find("100 %"), std::string::npos);
  EXPECT_NE(progress_line("m", 9, 3, 0, 80).find("100 %"), std::string::npos);
  EXPECT_NE(progress_line("m", 1, UINT64_MAX, 1, 120).find("days left"), std::string::npos);
  EXPECT_NE(progress_line("m", 0, 7200'000, 1000, 120).find("2:00:00 left"), std::string::npos);
  EXPECT_NE(progress_line("m", 0, 100, 1e300, 120).find("0 %"), std::string::npos);
}

struct Recorder {
  std::string text;
  ProgressDisplay::Clock::time_point now{};
  ProgressDisplay display;
  explicit Recorder(bool terminal)
      : display(
            {[this](std::string_view piece) { text += piece; }, terminal, [] { return 60; }, [this] { return now; }}) {}
};

TEST(ProgressDisplay, RedrawsOneLineOnATerminal) {
  Recorder r(true);
  for (uint64_t i = 0; i <= 1000; ++i) {  // one second
    r.display.advance("m", i * 1000, 1'000'000);
    r.now += milliseconds(1);
  }
  r.display.finish();
  r.display.finish();
  EXPECT_EQ(std::count(r.text.begin(), r.text.end(), '\n'), 1);
  const auto draws = std::count(r.text.begin(), r.text.end(), '\r');
  EXPECT_GE(draws, 10);
  EXPECT_LE(draws, 12);
  EXPECT_NE(r.text.find("MB/s"), std::string::npos) << r.text;
  EXPECT_NE(r.text.find("100 %"), std::string::npos) << r.text;
}

TEST(ProgressDisplay, SaysLinesBelowTheBar) {
  Recorder r(true);
  r.display.advance("m", 1, 10);
  r.display.say("something");
  EXPECT_NE(r.text.find("\nsomething\n"), std::string::npos) << r.text;
}

TEST(ProgressDisplay, WritesFewPlainLinesElsewhere) {
  Recorder r(false);
  for (uint64_t i = 0; i < 250; ++i) {
    r.display.advance("m", i, 249);
    r.now += milliseconds(100);
  }
  r.display.finish();
  EXPECT_EQ(r.text, "m: 100 of 249 bytes (40 %)\nm: 200 of 249 bytes (80 %)\nm: 249 of 249 bytes (100 %)\n");
}

TEST(ProgressDisplay, IsSilentAboutShortWorkElsewhere) {
  Recorder r(false);
  r.display.advance("m", 0, 10);
  r.display.advance("m", 10, 10);
  r.display.finish();
  EXPECT_EQ(r.text, "");
}

}  // namespace
}  // namespace duet
