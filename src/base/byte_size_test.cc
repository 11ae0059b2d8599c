#include "base/byte_size.h"

#include <gtest/gtest.h>

#include "tests/support.h"

namespace duet {
namespace {

TEST(ByteSize, Units) {
  EXPECT_EQ(parse_byte_size("x", "0"), 0);
  EXPECT_EQ(parse_byte_size("x", "4096"), 4096);
  EXPECT_EQ(parse_byte_size("x", "17B"), 17);
  EXPECT_EQ(parse_byte_size("x", "4GiB"), int64_t{4} << 30);
  EXPECT_EQ(parse_byte_size("x", "500 MB"), 500'000'000);
  EXPECT_EQ(parse_byte_size("x", "1.5t"), 1'500'000'000'000);
  EXPECT_EQ(parse_byte_size("x", "2k"), 2000);
  EXPECT_EQ(parse_byte_size("x", "2KIB"), 2048);
}

TEST(ByteSize, RefusesWhatIsNone) {
  for (const char* text : {"", " ", "much", "-1", "-0.1GB", "1e9", "nan", "inf", "4 GiBs", "4xB",
                           "99999999999999999999", "2000000TB", "4G iB", "0x10", "1.2.3"}) {
    EXPECT_ERROR(parse_byte_size("--expert-memory", text), ErrorCode::kBadValue, "--expert-memory");
  }
}

}  // namespace
}  // namespace duet
