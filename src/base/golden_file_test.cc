#include "tests/golden_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support.h"

namespace duet::test {
namespace {

/// A file with this header and `data_bytes` bytes 0, 1, 2, ... of data.
std::filesystem::path write(std::string_view header, int data_bytes, uint64_t header_bytes = ~uint64_t{0}) {
  const auto path = temporary_folder() / "golden.safetensors";
  std::ofstream out(path, std::ios::binary);
  if (header_bytes == ~uint64_t{0}) header_bytes = header.size();
  for (int i = 0; i < 8; ++i) out.put(static_cast<char>((header_bytes >> (8 * i)) & 0xff));
  out << header;
  for (int i = 0; i < data_bytes; ++i) out.put(static_cast<char>(i));
  return path;
}

TEST(GoldenFile, ReadsEveryType) {
  const GoldenFile file(write(
      R"({"__metadata__":{"a":"b"},"b":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]},"e":{"dtype":"F32","shape":[0,4],"data_offsets":[6,6]},)"
      R"("h":{"dtype":"BF16","shape":[1],"data_offsets":[6,8]},"i":{"dtype":"I32","shape":[],"data_offsets":[8,12]},)"
      R"("l":{"dtype":"I64","shape":[1],"data_offsets":[12,20]},"f":{"dtype":"F32","shape":[1],"data_offsets":[20,24]},)"
      R"("d":{"dtype":"F64","shape":[1],"data_offsets":[24,32]},"s":{"dtype":"I8","shape":[1],"data_offsets":[32,33]}}  )",
      33));
  EXPECT_EQ(file.u8("b"), (std::vector<uint8_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.shape("b"), (Shape{2, 3}));
  EXPECT_EQ(file.u16("h"), std::vector<uint16_t>{0x0706});
  EXPECT_EQ(file.dtype("h"), "BF16");
  EXPECT_EQ(file.i32("i"), std::vector<int32_t>{0x0b0a0908});
  EXPECT_EQ(file.i64("l"), std::vector<int64_t>{0x131211100f0e0d0c});
  EXPECT_EQ(file.f32("f").size(), 1U);
  EXPECT_EQ(file.f64("d").size(), 1U);
  EXPECT_EQ(file.i8("s"), std::vector<int8_t>{32});
  EXPECT_TRUE(file.f32("e").empty());
  EXPECT_EQ(file.bytes("h"), (std::vector<std::byte>{std::byte{6}, std::byte{7}}));
  EXPECT_EQ(file.names(), (std::vector<std::string>{"b", "d", "e", "f", "h", "i", "l", "s"}));
  EXPECT_TRUE(file.has("l"));
  EXPECT_FALSE(file.has("__metadata__"));
  EXPECT_ERROR(file.f32("none"), ErrorCode::kMissingTensor, "'none'");
  EXPECT_ERROR(file.shape("none"), ErrorCode::kMissingTensor, "'none'");
  EXPECT_ERROR(file.f32("i"), ErrorCode::kBadDtype, "'i' is I32, read as F32");
  EXPECT_ERROR(file.u8("s"), ErrorCode::kBadDtype, "'s' is I8");
}

TEST(GoldenFile, RefusesWhatIsNotStrict) {
  EXPECT_ERROR(GoldenFile(temporary_folder() / "absent"), ErrorCode::kNotFound, "absent");
  EXPECT_ERROR(GoldenFile(write("{}", 0, 3)), ErrorCode::kTruncated, "golden.safetensors");
  EXPECT_ERROR(GoldenFile(write("{}", 0, ~uint64_t{1})), ErrorCode::kTruncated, "header");
  EXPECT_ERROR(GoldenFile(write("{}", 1)), ErrorCode::kTruncated, "1 bytes of data");
  EXPECT_ERROR(GoldenFile(write("[]", 0)), ErrorCode::kBadType, "no object");
  EXPECT_ERROR(GoldenFile(write("{", 0)), ErrorCode::kBadJson, "golden.safetensors");
  const auto one = [](std::string_view entry, int data_bytes) {
    return write(R"({"t":)" + std::string(entry) + "}", data_bytes);
  };
  EXPECT_ERROR(GoldenFile(one("3", 0)), ErrorCode::kBadDtype, "'t'");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"Q4","shape":[1],"data_offsets":[0,1]})", 1)), ErrorCode::kBadDtype, "Q4");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1})", 1)), ErrorCode::kBadKey,
               "'t'");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,1]})", 1)), ErrorCode::kBadOffset,
               "2 elem");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[1],"data_offsets":[1,2]})", 2)), ErrorCode::kBadOffset, "gap");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})", 1)), ErrorCode::kTruncated,
               "1 bytes");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,1]})", 1)), ErrorCode::kBadValue, "-1");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[1000000000,1000000000],"data_offsets":[0,1]})", 1)),
               ErrorCode::kSizeOverflow, "'t'");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]})", 1)),
               ErrorCode::kBadShape, "9 dim");
  EXPECT_ERROR(GoldenFile(one(R"({"dtype":"U8","shape":[1],"data_offsets":[0]})", 1)), ErrorCode::kBadOffset,
               "1 offsets");
}

}  // namespace
}  // namespace duet::test
