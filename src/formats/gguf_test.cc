#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/gguf_bytes.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::gguf_string;
using test::GgufBytes;
using test::le;

GgufFile parse(const std::string& bytes) { return parse_gguf(*memory_source("test.gguf", test::as_bytes(bytes))); }

template <typename T>
T scalar(const GgufFile& file, std::string_view key) {
  return std::get<T>(std::get<GgufValue::Scalar>(file.metadata.find(key)->value));
}

template <typename T>
std::vector<T> array(const GgufFile& file, std::string_view key) {
  return std::get<std::vector<T>>(std::get<GgufValue::Array>(file.metadata.find(key)->value));
}

/// Every type of value, alone and in arrays.
GgufBytes all_types() {
  GgufBytes g;
  g.pair("u8", 0, le<uint8_t>(200)).pair("i8", 1, le<int8_t>(-100)).pair("u16", 2, le<uint16_t>(60000));
  g.pair("i16", 3, le<int16_t>(-30000))
      .pair("u32", 4, le<uint32_t>(4000000000))
      .pair("i32", 5, le<int32_t>(-2000000000));
  g.pair("f32", 6, le(1.5F))
      .pair("yes", 7, le<uint8_t>(1))
      .pair("no", 7, le<uint8_t>(0))
      .string("text", "h\xc3\xa9llo");
  g.pair("u64", 10, le<uint64_t>(UINT64_MAX)).pair("i64", 11, le<int64_t>(INT64_MIN)).pair("f64", 12, le(-2.25));
  g.array("u8s", 0, 2, le<uint8_t>(0) + le<uint8_t>(255)).array("i8s", 1, 2, le<int8_t>(-128) + le<int8_t>(127));
  g.array("u16s", 2, 1, le<uint16_t>(65535)).array("i16s", 3, 1, le<int16_t>(-1)).array("u32s", 4, 1, le<uint32_t>(7));
  g.array("i32s", 5, 2, le<int32_t>(-7) + le<int32_t>(8)).array("f32s", 6, 2, le(0.5F) + le(-1.0F));
  g.array("bools", 7, 3, std::string("\1\0\1", 3))
      .array("texts", 8, 3, gguf_string("a") + gguf_string("") + gguf_string("bc"));
  g.array("u64s", 10, 1, le<uint64_t>(9)).array("i64s", 11, 1, le<int64_t>(-9)).array("f64s", 12, 1, le(1e300));
  g.array("none", 8, 0, "");
  return g;
}

TEST(Gguf, ReadsEveryTypeOfMetadata) {
  const GgufFile file = parse(all_types().build());
  EXPECT_EQ(file.metadata.entries().size(), 26U);
  EXPECT_EQ(scalar<uint8_t>(file, "u8"), 200);
  EXPECT_EQ(scalar<int8_t>(file, "i8"), -100);
  EXPECT_EQ(scalar<uint16_t>(file, "u16"), 60000);
  EXPECT_EQ(scalar<int16_t>(file, "i16"), -30000);
  EXPECT_EQ(scalar<uint32_t>(file, "u32"), 4000000000U);
  EXPECT_EQ(scalar<int32_t>(file, "i32"), -2000000000);
  EXPECT_EQ(scalar<float>(file, "f32"), 1.5F);
  EXPECT_TRUE(scalar<bool>(file, "yes"));
  EXPECT_FALSE(scalar<bool>(file, "no"));
  EXPECT_EQ(scalar<std::string>(file, "text"), "h\xc3\xa9llo");
  EXPECT_EQ(scalar<uint64_t>(file, "u64"), UINT64_MAX);
  EXPECT_EQ(scalar<int64_t>(file, "i64"), INT64_MIN);
  EXPECT_EQ(scalar<double>(file, "f64"), -2.25);
  EXPECT_EQ(array<uint8_t>(file, "u8s"), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(array<int8_t>(file, "i8s"), (std::vector<int8_t>{-128, 127}));
  EXPECT_EQ(array<uint16_t>(file, "u16s"), (std::vector<uint16_t>{65535}));
  EXPECT_EQ(array<int16_t>(file, "i16s"), (std::vector<int16_t>{-1}));
  EXPECT_EQ(array<uint32_t>(file, "u32s"), (std::vector<uint32_t>{7}));
  EXPECT_EQ(array<int32_t>(file, "i32s"), (std::vector<int32_t>{-7, 8}));
  EXPECT_EQ(array<float>(file, "f32s"), (std::vector<float>{0.5F, -1.0F}));
  EXPECT_EQ(array<bool>(file, "bools"), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(*file.metadata.strings("texts"), (TextList{"a", "", "bc"}));
  EXPECT_EQ(array<uint64_t>(file, "u64s"), (std::vector<uint64_t>{9}));
  EXPECT_EQ(array<int64_t>(file, "i64s"), (std::vector<int64_t>{-9}));
  EXPECT_EQ(array<double>(file, "f64s"), (std::vector<double>{1e300}));
  EXPECT_TRUE(file.metadata.strings("none")->empty());
}

TEST(Gguf, GettersConvertWithoutLossOrSayWhy) {
  const GgufFile file = parse(all_types().build());
  const GgufMetadata& m = file.metadata;
  EXPECT_EQ(m.integer("u32"), 4000000000);
  EXPECT_EQ(m.integer("i8"), -100);
  EXPECT_EQ(m.integer("i64"), INT64_MIN);
  EXPECT_EQ(m.integer("absent"), std::nullopt);
  EXPECT_EQ(m.number("f32"), 1.5);
  EXPECT_EQ(m.number("f64"), -2.25);
  EXPECT_EQ(m.boolean("yes"), true);
  EXPECT_EQ(m.string("text"), "h\xc3\xa9llo");
  EXPECT_EQ(m.strings("absent"), nullptr);
  EXPECT_EQ(m.integers("i32s"), (std::vector<int64_t>{-7, 8}));
  EXPECT_EQ(m.integers("u8s"), (std::vector<int64_t>{0, 255}));
  EXPECT_EQ(m.numbers("f32s"), (std::vector<double>{0.5, -1.0}));
  EXPECT_EQ(m.require_integer("u8"), 200);
  EXPECT_ERROR(m.integer("u64"), ErrorCode::kBadValue, "18446744073709551615");
  EXPECT_ERROR(m.integer("f32"), ErrorCode::kBadType, "type f32");
  EXPECT_ERROR(m.integer("yes"), ErrorCode::kBadType, "type bool");
  EXPECT_ERROR(m.integer("i32s"), ErrorCode::kBadType, "array of i32");
  EXPECT_ERROR(m.number("u8"), ErrorCode::kBadType, "u8");
  EXPECT_ERROR(m.boolean("u8"), ErrorCode::kBadType, "u8");
  EXPECT_ERROR(m.string("u8"), ErrorCode::kBadType, "test.gguf: key 'u8'");
  EXPECT_ERROR(m.strings("i32s"), ErrorCode::kBadType, "array of i32");
  EXPECT_ERROR(m.integers("bools"), ErrorCode::kBadType, "array of bool");
  EXPECT_ERROR(m.integers("i32"), ErrorCode::kBadType, "type i32");
  EXPECT_ERROR(m.numbers("texts"), ErrorCode::kBadType, "array of string");
  EXPECT_ERROR(m.require_integer("absent"), ErrorCode::kMissingKey, "'absent'");
  EXPECT_ERROR(m.require_number("absent"), ErrorCode::kMissingKey, "'absent'");
  EXPECT_ERROR(m.require_string("absent"), ErrorCode::kMissingKey, "'absent'");
  EXPECT_ERROR(m.require_strings("absent"), ErrorCode::kMissingKey, "'absent'");
}

TEST(Gguf, PlacesTensorsAtTheAlignment) {
  for (const uint32_t alignment : {8U, 32U, 64U, 65536U}) {
    GgufBytes g;
    g.alignment = alignment;
    g.pair("general.alignment", 4, le(alignment));
    g.tensor("a", {3, 2}, 0, std::string(24, 'a'))
        .tensor("b", {64}, 8, std::string(68, 'b'))
        .tensor("c", {1, 2, 3, 4}, 24, std::string(24, 'c'));
    const std::string bytes = g.build();
    const GgufFile file = parse(bytes);
    EXPECT_EQ(file.alignment, alignment);
    ASSERT_EQ(file.tensors.size(), 3U);
    EXPECT_EQ(file.tensors[0].shape, (Shape{2, 3}));
    EXPECT_EQ(file.tensors[1].shape, (Shape{64}));
    EXPECT_EQ(file.tensors[2].shape, (Shape{4, 3, 2, 1}));
    EXPECT_EQ(file.tensors[1].dtype, DType::kQ8_0);
    const std::vector<uint64_t> sizes{24, 68, 24};
    for (size_t i = 0; i < 3; ++i) {
      const GgufTensor& tensor = file.tensors[i];
      EXPECT_EQ(tensor.bytes, sizes[i]);
      EXPECT_EQ(tensor.offset % alignment, 0U);
      EXPECT_EQ(bytes.substr(tensor.offset, tensor.bytes), std::string(sizes[i], static_cast<char>('a' + i)));
    }
  }
}

TEST(Gguf, ReadsVersionTwoAndFilesWithoutTensors) {
  GgufBytes g;
  g.version = 2;
  g.string("general.architecture", "llama");
  EXPECT_EQ(parse(g.build()).version, 2U);
  EXPECT_TRUE(parse(g.build()).tensors.empty());
  EXPECT_TRUE(parse(GgufBytes().build()).metadata.entries().empty());
}

TEST(Gguf, RefusesHolesBetweenTensors) {
  GgufBytes g;
  g.tensor("a", {8}, 0, std::string(32, 'a'))
      .tensor("gap", {16}, 0, std::string(64, 'x'))
      .tensor("b", {8}, 0, std::string(32, 'b'));
  std::string bytes = g.build();
  // "gap" shrinks to half its size in the table only.
  const size_t at = bytes.find(gguf_string("gap")) + gguf_string("gap").size() + sizeof(uint32_t);
  bytes.replace(at, 8, le<uint64_t>(8));
  EXPECT_ERROR(parse(bytes), ErrorCode::kBadOffset, "'b'");
}

TEST(Gguf, StaysWithinTheCaps) {
  const std::string long_text(1 << 20, 'x');
  EXPECT_EQ(parse(GgufBytes().string("k", long_text).build()).metadata.string("k"), long_text);
  EXPECT_ERROR(parse(GgufBytes().string("k", long_text + "x").build()), ErrorCode::kBadString, "1048577");
  const std::string long_key(65535, 'k');
  EXPECT_EQ(parse(GgufBytes().string(long_key, "").build()).metadata.string(long_key), "");
  EXPECT_ERROR(parse(GgufBytes().string(long_key + "k", "").build()), ErrorCode::kBadKey, "65536");
  const std::string long_name(63, 'n');
  EXPECT_EQ(parse(GgufBytes().tensor(long_name, {1}, 0, "1234").build()).tensors[0].name, long_name);
  EXPECT_ERROR(parse(GgufBytes().tensor(long_name + "n", {1}, 0, "1234").build()), ErrorCode::kBadString, "64");
  EXPECT_ERROR(parse(GgufBytes().array("k", 8, 1, gguf_string("a\xff")).build()), ErrorCode::kBadString, "'k'[0]");
  EXPECT_ERROR(parse(GgufBytes().string("k", std::string_view("a\0b", 3)).build()), ErrorCode::kBadString, "\\x00");
  // Strings of an array are judged together: a character that two of them make up is no character.
  EXPECT_ERROR(parse(GgufBytes().array("k", 8, 2, gguf_string("a\xc3") + gguf_string("\xa9")).build()),
               ErrorCode::kBadString, "'k'[0]");
  EXPECT_ERROR(parse(GgufBytes().array("k", 8, 2, gguf_string("a") + gguf_string(std::string_view("\0", 1))).build()),
               ErrorCode::kBadString, "'k'[1]");
  // And a fault that stands before another is said first.
  EXPECT_ERROR(parse(GgufBytes().array("k", 8, 2, gguf_string("\xff") + gguf_string(long_text + "x")).build()),
               ErrorCode::kBadString, "'k'[0]");
  EXPECT_ERROR(parse(GgufBytes().array("k", 8, 2, gguf_string("a") + gguf_string(long_text + "x")).build()),
               ErrorCode::kBadString, "'k'[1]: a string of 1048577 bytes");
}

TEST(Gguf, MemoryIsJustifiedByTheFile) {
  // Six million empty strings are 48 MB in the file and would be 192 MB in memory.
  constexpr uint64_t kCount = 6'000'000;
  const std::string bytes = GgufBytes().array("k", 8, kCount, std::string(kCount * 8, '\0')).build();
  EXPECT_ERROR(parse(bytes), ErrorCode::kTooLarge, "'k'");
}

/// Fails every read from the Nth on, or ends before the size that it announced.
class FaultySource final : public ByteSource {
 public:
  FaultySource(std::string_view bytes, int64_t reads, uint64_t shrunk_size)
      : bytes_(bytes), reads_left_(reads), shrunk_size_(shrunk_size) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return bytes_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    if (reads_left_-- <= 0) fail(ErrorCode::kIoError, "{}: cannot read at byte {}: injected", name_, offset);
    if (offset + out.size() > shrunk_size_) fail(ErrorCode::kTruncated, "{}: shrank to {} bytes", name_, shrunk_size_);
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

 private:
  std::string name_ = "faulty.gguf";
  std::string_view bytes_;
  mutable int64_t reads_left_;
  uint64_t shrunk_size_;
};

TEST(Gguf, AFailedReadOrAShrunkenFileIsAnError) {
  GgufBytes g = all_types();
  std::string numbers;
  for (int i = 0; i < 50000; ++i) numbers += gguf_string("token " + std::to_string(i));
  g.array("tokens", 8, 50000, numbers).tensor("a", {8}, 0, std::string(32, 'a'));
  const std::string bytes = g.build();
  int64_t failed = 0;
  for (int64_t reads = 0;; ++reads) {
    try {
      parse_gguf(FaultySource(bytes, reads, bytes.size()));
      break;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIoError) << error.what();
      ++failed;
    }
  }
  EXPECT_GE(failed, 5);
  const uint64_t table_end = bytes.size() - 32;
  for (uint64_t size = 0; size < table_end; size += 20011) {
    EXPECT_ERROR(parse_gguf(FaultySource(bytes, INT64_MAX, size)), ErrorCode::kTruncated, "shrank");
  }
}

}  // namespace
}  // namespace duet
