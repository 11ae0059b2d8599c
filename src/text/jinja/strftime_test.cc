#include "text/jinja/strftime.h"

#include <gtest/gtest.h>

namespace duet::jinja {
namespace {

std::tm leap_day() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 1;
  time.tm_mday = 29;
  time.tm_hour = 8;
  time.tm_min = 5;
  time.tm_sec = 9;
  time.tm_wday = 4;
  time.tm_yday = 59;
  return time;
}

struct Case {
  const char* format;
  const char* text;
};

// What datetime.datetime(2024, 2, 29, 8, 5, 9).strftime(format) gives in Python 3.11 on Debian 12.
TEST(Strftime, IsPythons) {
  for (const auto& [format, text] : {Case{"%A, %d %B %Y", "Thursday, 29 February 2024"},
                                     {"%c|%x|%X", "Thu Feb 29 08:05:09 2024|02/29/24|08:05:09"},
                                     {"%j %U %W %V %G %u %w", "060 08 09 09 2024 4 4"},
                                     {"%f%z%Z%%", "000000%"},
                                     {"%-d %_m %e %k %l", "29  2 29  8  8"},
                                     {"%5C|%-5d|%_5H|%010d|%^a|%#p|%^P", "00020|   29|    8|0000000029|THU|am|am"},
                                     {"%10A|%^10b|%05n", "  Thursday|       FEB|0000\n"},
                                     {"%EY %Od %OC %ED %QA", "2024 29 20 %ED %QA"},
                                     {"%", "%"},
                                     {"%-", "%-"},
                                     {"%5\xC3\xA9", "  %5\xC3\xA9"},
                                     {"100%", "100%"}})
    EXPECT_EQ(strftime(leap_day(), format), text) << format;
}

TEST(Strftime, TooLongATextIsEmpty) {
  EXPECT_EQ(strftime(leap_day(), "%1022d").size(), 1022U);
  EXPECT_EQ(strftime(leap_day(), "%9999d"), "");
  EXPECT_EQ(strftime(leap_day(), "%99999999999999999999d"), "");
}

}  // namespace
}  // namespace duet::jinja
