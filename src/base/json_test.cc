#include "base/json.h"

#include <gtest/gtest.h>

#include "tests/support.h"

namespace duet {
namespace {

TEST(Json, KeepsOrderKindsAndDigits) {
  const Json json = parse_json(R"({"b":1,"a":[true,null,-2.5e3,"x\u00e9"],"big":123456789012345678901234567890})", "t");
  EXPECT_EQ(json.dump(), "{\"b\":1,\"a\":[true,null,-2500.0,\"x\xc3\xa9\"],\"big\":123456789012345678901234567890}");
  EXPECT_TRUE(json.find("b")->is_integer());
  EXPECT_TRUE(json.find("big")->is_big_integer());
  EXPECT_EQ(json.find("none"), nullptr);
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text :
       {"", "{", "{'a':1}", "[1,]", "NaN", "\"\\ud800\"", "\"\xc3\x28\"", "\xef\xbb\xbf{}", "1 2", "01"}) {
    EXPECT_ERROR(parse_json(text, "name.json"), ErrorCode::kBadJson, "name.json");
  }
  EXPECT_ERROR(parse_json(R"({"a":1,"a":2})", "name.json"), ErrorCode::kBadKey, "'a'");
  EXPECT_EQ(parse_json(R"({"a":1,"b":0,"a":2})", "t", {.allow_duplicate_keys = true}).dump(), R"({"a":2,"b":0})");
}

TEST(Json, DepthIsLimited) {
  EXPECT_NO_THROW(parse_json(std::string(128, '[') + std::string(128, ']'), "t"));
  EXPECT_ERROR(parse_json(std::string(129, '['), "t"), ErrorCode::kTooDeep, "128");
  EXPECT_ERROR(parse_json(std::string(1000000, '['), "t"), ErrorCode::kTooDeep, "128");
}

TEST(Json, QuoteReplacesInvalidBytes) {
  EXPECT_EQ(json_quote("a\"\\\n\x01\xff"), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\"");
}

TEST(Json, QuoteEscapesWhatReadersOfLinesTakeForLineEnds) {
  const std::string separators = "a\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa";
  EXPECT_EQ(json_quote(separators), "\"a\\u0085\\u2028\\u2029\xe2\x80\xaa\"");
  EXPECT_EQ(parse_json(json_quote(separators), "t").string(), separators);
}

}  // namespace
}  // namespace duet
