#include "base/checksum.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <vector>

namespace duet {
namespace {

uint64_t of(std::string_view text) { return checksum64(std::as_bytes(std::span(text))); }

/// Values that the reference program prints (xxhsum -H1).
TEST(Checksum64, IsXxh64) {
  EXPECT_EQ(of(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(of("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

TEST(Checksum64, SeesEveryBitAndEveryLength) {
  std::vector<std::byte> bytes(100);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37);
  std::set<uint64_t> seen;
  for (size_t length = 0; length <= bytes.size(); ++length) seen.insert(checksum64(std::span(bytes).first(length)));
  EXPECT_EQ(seen.size(), bytes.size() + 1);
  const size_t before = seen.size();
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    seen.insert(checksum64(bytes));
    bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
  }
  EXPECT_EQ(seen.size(), before + 8 * bytes.size());
}

}  // namespace
}  // namespace duet
