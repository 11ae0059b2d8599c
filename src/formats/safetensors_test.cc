#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include "tests/gguf_bytes.h"
#include "tests/golden_file.h"
#include "tests/support.h"

namespace duet {
namespace {

std::string file_bytes(const std::string& header, size_t data_bytes) {
  return test::le<uint64_t>(header.size()) + header + std::string(data_bytes, 'd');
}

SafetensorsFile parse(const std::string& header, size_t data_bytes) {
  const std::string bytes = file_bytes(header, data_bytes);
  return parse_safetensors(*memory_source("test.safetensors", test::as_bytes(bytes)));
}

TEST(Safetensors, KeepsHeaderOrderMetadataAndPlaces) {
  const SafetensorsFile file = parse(
      R"({"b":{"dtype":"F16","shape":[2,3],"data_offsets":[8,20]},"__metadata__":{"format":"pt","x":""},)"
      R"("a":{"data_offsets":[0,8],"shape":[],"dtype":"I64"},"e":{"dtype":"BF16","shape":[0,7],"data_offsets":[8,8]}}  )",
      20);
  ASSERT_EQ(file.tensors.size(), 3U);
  EXPECT_EQ(file.tensors[0].name, "b");
  EXPECT_EQ(file.tensors[0].shape, (Shape{2, 3}));
  EXPECT_EQ(file.tensors[0].bytes, 12U);
  EXPECT_EQ(file.tensors[1].name, "a");
  EXPECT_EQ(file.tensors[1].shape.rank(), 0);
  EXPECT_EQ(file.tensors[0].offset, file.tensors[1].offset + 8);
  EXPECT_EQ(file.tensors[2].bytes, 0U);
  EXPECT_EQ(file.metadata, (std::vector<std::pair<std::string, std::string>>{{"format", "pt"}, {"x", ""}}));
}

TEST(Safetensors, ReadsEveryType) {
  for (const char* name : {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL",
                           "F8_E4M3", "F8_E5M2", "F8_E8M0"}) {
    const auto dtype = dtype_from_safetensors(name);
    ASSERT_TRUE(dtype) << name;
    EXPECT_EQ(safetensors_dtype_name(*dtype), name);
    const auto bytes = static_cast<size_t>(dtype_info(*dtype).block_bytes) * 3;
    const auto file =
        parse(fmt::format(R"({{"t":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})", name, bytes), bytes);
    EXPECT_EQ(file.tensors[0].dtype, *dtype);
    EXPECT_EQ(file.tensors[0].bytes, bytes);
  }
  EXPECT_EQ(safetensors_dtype_name(DType::kQ4_K), "");
}

TEST(Safetensors, JudgesSyntaxBeforeMeaning) {
  // The unknown type stands first, but the text is not JSON at all.
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F9","shape":[1],"data_offsets":[0,4]},})", 4), ErrorCode::kBadJson,
               "test.safetensors");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F9","shape":[1],"data_offsets":[0,4]}})", 4), ErrorCode::kBadDtype, "'a'");
}

TEST(Safetensors, RefusesWhatIsNotExactlyOneHeader) {
  const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  EXPECT_ERROR(parse("{" + a + "} x", 4), ErrorCode::kBadJson, "byte");
  EXPECT_ERROR(parse("[" + a + "]", 4), ErrorCode::kBadJson, "header");
  EXPECT_ERROR(parse(R"({"a":5})", 0), ErrorCode::kBadType, "'a'");
  EXPECT_ERROR(parse(R"({"a":[1]})", 0), ErrorCode::kBadType, "'a'");
  EXPECT_ERROR(parse(R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", 4), ErrorCode::kBadDtype, "'a'");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4), ErrorCode::kBadShape, "'a'");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F32","shape":{"x":1},"data_offsets":[0,4]}})", 4), ErrorCode::kBadShape, "'a'");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,[4]]}})", 4), ErrorCode::kBadOffset, "'a'");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4), ErrorCode::kBadOffset, "'a'");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":"0"}})", 4), ErrorCode::kBadOffset, "'a'");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4),
               ErrorCode::kBadShape, "8");
  EXPECT_ERROR(parse(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0),
               ErrorCode::kSizeOverflow, "'a'");
  EXPECT_ERROR(parse(R"({"a\u0000b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4), ErrorCode::kBadString,
               "NUL");
  EXPECT_ERROR(parse(R"({"__metadata__":{"k":{}},)" + a + "}", 4), ErrorCode::kBadValue, "__metadata__");
  EXPECT_ERROR(parse(R"({"__metadata__":{"k":"1","k":"2"},)" + a + "}", 4), ErrorCode::kBadKey, "'k'");
  EXPECT_ERROR(parse(R"({"__metadata__":{},"__metadata__":{},)" + a + "}", 4), ErrorCode::kBadKey, "__metadata__");
  EXPECT_ERROR(parse(R"({"__metadata__":"x",)" + a + "}", 4), ErrorCode::kBadType, "__metadata__");
}

TEST(Safetensors, EmptyTensorsInsideOthersOverlap) {
  EXPECT_ERROR(
      parse(
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"e":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})",
          8),
      ErrorCode::kOverlappingTensors, "'e'");
  EXPECT_EQ(parse("{}", 0).tensors.size(), 0U);
  EXPECT_ERROR(parse("{}", 1), ErrorCode::kBadOffset, "1 bytes");
}

TEST(Safetensors, RefusesPickles) {
  const std::string zip = std::string("PK\3\4", 4) + std::string(60, '\0');
  EXPECT_ERROR(parse_safetensors(*memory_source("z.safetensors", test::as_bytes(zip))), ErrorCode::kPickleRefused,
               "pickle");
  const std::string bare = "\x80\x02}q\x01(X\x05" + std::string(60, '\0');
  EXPECT_ERROR(parse_safetensors(*memory_source("p.safetensors", test::as_bytes(bare))), ErrorCode::kPickleRefused,
               "pickle");
  // A header of 640 bytes has the same first two bytes as a pickle.
  std::string header = "{}";
  header.resize(0x280, ' ');
  EXPECT_TRUE(parse(header, 0).tensors.empty());
}

}  // namespace
}  // namespace duet
