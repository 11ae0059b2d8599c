#include "hub/catalog.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "hub/sha256.h"
#include "tests/support.h"

namespace duet {
namespace {

const std::string kHash(64, 'a');

/// A right catalogue, in which a test replaces one thing.
std::string catalog_with(std::string_view from = "", std::string_view to = "") {
  std::string text = R"(default = "m"
[[model]]
name = "m"
aliases = ["m-full"]
title = "M"
family = "llama"
architecture = "llama"
bytes = 30
sha256 = "HASH"
licence = {in_file = "none", in_package = "MIT", model = "MIT"}
[[model.source]]
kind = "pip"
parts = [
  {package = "m-1", version = "1.0", wheel = "m_1-1.0-py3-none-any.whl", member = "m_1/a.bin", bytes = 10, sha256 = "HASH"},
  {package = "m-2", version = "1.0", wheel = "m_2-1.0-py3-none-any.whl", member = "m_2/b.bin", bytes = 20, sha256 = "HASH"},
]
)";
  if (!from.empty()) {
    const size_t at = text.find(from);
    if (at == std::string::npos) ADD_FAILURE() << from << " is not in the catalogue";
    text.replace(at, from.size(), to);
  }
  for (size_t at = 0; (at = text.find("HASH")) != std::string::npos;) text.replace(at, 4, kHash);
  return text;
}

TEST(Catalog, ReadsEveryField) {
  const Catalog catalog = parse_catalog(catalog_with(), "test.toml");
  ASSERT_EQ(catalog.models.size(), 1u);
  EXPECT_EQ(catalog.default_name, "m");
  const CatalogModel& model = catalog.models[0];
  EXPECT_EQ(catalog.find("m"), &model);
  EXPECT_EQ(catalog.find("m-full"), &model);
  EXPECT_EQ(catalog.find("M"), nullptr);
  EXPECT_EQ(model.bytes, 30u);
  EXPECT_EQ(model.licence, (Licence{"none", "MIT", "MIT"}));
  ASSERT_EQ(model.sources.size(), 1u);
  ASSERT_EQ(model.sources[0].parts.size(), 2u);
  const WheelPart& part = model.sources[0].parts[1];
  EXPECT_EQ(part.package, "m-2");
  EXPECT_EQ(part.version, "1.0");
  EXPECT_EQ(part.wheel, "m_2-1.0-py3-none-any.whl");
  EXPECT_EQ(part.member, "m_2/b.bin");
  EXPECT_EQ(part.bytes, 20u);
  EXPECT_EQ(part.sha256, kHash);
}

struct Wrong {
  const char *from, *to;
  ErrorCode code;
  const char* word;
};

TEST(Catalog, NamesLineAndFaultOfABadOne) {
  const Wrong kWrongs[] = {
      {"default = \"m\"", "default = m", ErrorCode::kBadValue, "test.toml: line 1: not TOML"},
      {"default = \"m\"", "default = \"n\"", ErrorCode::kBadValue, "line 1: 'default' is 'n'"},
      {"default = \"m\"", "colour = 1\ndefault = \"m\"", ErrorCode::kBadKey, "line 1: unknown key 'colour'"},
      {"default = \"m\"\n", "", ErrorCode::kMissingKey, "'default'"},
      {"name = \"m\"", "name = 3", ErrorCode::kBadType, "line 3: 'name' must be a string"},
      {"name = \"m\"", "name = \"../m\"", ErrorCode::kBadValue, "line 3: 'name' is '../m'"},
      {"name = \"m\"", "name = \"m-full\"", ErrorCode::kBadKey, "'m-full' stands twice"},
      {"title = \"M\"", "title = \"a\\u001b[31m\"", ErrorCode::kBadValue, "line 5: 'title'"},
      {"title = \"M\"\n", "", ErrorCode::kMissingKey, "key 'title'"},
      {"family = \"llama\"", "family = \"\"", ErrorCode::kBadValue, "line 6"},
      {"bytes = 30", "bytes = 31", ErrorCode::kBadValue, "have 30 bytes, the model has 31"},
      {"bytes = 30", "bytes = 29", ErrorCode::kBadValue, "have at least 30 bytes, the model has 29"},
      {"bytes = 30", "bytes = 0", ErrorCode::kBadValue, "line 8: 'bytes' is 0"},
      {"bytes = 30", "bytes = -1", ErrorCode::kBadValue, "line 8: 'bytes' is -1"},
      {"bytes = 30", "bytes = 9223372036854775807", ErrorCode::kBadValue, "line 8"},
      {"bytes = 30", "bytes = 3.5", ErrorCode::kBadType, "line 8: 'bytes' must be an integer"},
      {"sha256 = \"HASH\"", "sha256 = \"AB\"", ErrorCode::kBadValue, "line 9: 'sha256' is 'AB'"},
      {"model = \"MIT\"", "modle = \"MIT\"", ErrorCode::kBadKey, "line 10: unknown key 'modle'"},
      {"kind = \"pip\"", "kind = \"http\"", ErrorCode::kBadValue, "'kind' is 'http' (known: pip)"},
      {"package = \"m-1\"", "package = \"--index-url=x\"", ErrorCode::kBadValue, "line 14: 'package'"},
      {"package = \"m-1\"", "package = \"m @ file:///x\"", ErrorCode::kBadValue, "line 14: 'package'"},
      {"version = \"1.0\"", "version = \"1.0; x\"", ErrorCode::kBadValue, "line 14: 'version'"},
      {"\"m_1-1.0-py3-none-any.whl\"", "\"../x.whl\"", ErrorCode::kBadValue, "line 14: 'wheel'"},
      {"\"m_1-1.0-py3-none-any.whl\"", "\"partial\"", ErrorCode::kBadValue, "line 14: 'wheel'"},
      {"m_1/a.bin", "m_1/../../a.bin", ErrorCode::kBadValue, "line 14: 'member'"},
      {"m_1/a.bin", "/etc/passwd", ErrorCode::kBadValue, "line 14: 'member'"},
      {"m_1/a.bin", "", ErrorCode::kBadValue, "line 14: 'member'"},
      {"[[model.source]]\nkind", "source = []\n#[[model.source]]\n[x]\nkind", ErrorCode::kBadKey, "unknown key 'x'"},
  };
  for (const Wrong& wrong : kWrongs) {
    SCOPED_TRACE(wrong.to);
    EXPECT_ERROR(parse_catalog(catalog_with(wrong.from, wrong.to), "test.toml"), wrong.code, wrong.word);
  }
  EXPECT_ERROR(parse_catalog("", "test.toml"), ErrorCode::kMissingKey, "default");
  EXPECT_ERROR(parse_catalog("default = \"m\"\nmodel = []", "test.toml"), ErrorCode::kBadValue, "'model' is empty");
  EXPECT_ERROR(parse_catalog("default = \"m\"\nmodel = [3]", "test.toml"), ErrorCode::kBadType, "line 2");
  EXPECT_ERROR(parse_catalog("a = " + std::string(100'000, '['), "test.toml"), ErrorCode::kBadValue, "line 1");
  EXPECT_ERROR(parse_catalog("a = \"\xc3\x28\"", "test.toml"), ErrorCode::kBadValue, "line 1");
}

TEST(Catalog, EveryPrefixIsAnErrorOrACatalogue) {
  const std::string text = catalog_with();
  for (size_t n = 0; n < text.size(); ++n) {
    try {
      parse_catalog(text.substr(0, n), "test.toml");
    } catch (const Error&) {
    }
  }
}

TEST(Catalog, TheBuiltInOneHoldsTheThreeModels) {
  ::unsetenv("DUET_CATALOG");
  const Catalog catalog = load_catalog();
  EXPECT_EQ(catalog.default_name, "smollm2-135m");
  for (const char* name :
       {"smollm2-135m", "smollm2-135m-instruct-q4_1", "qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct-q4",
        "qwen2.5-coder-1.5b", "qwen2.5-coder-1.5b-instruct-q4_k_m"}) {
    EXPECT_NE(catalog.find(name), nullptr) << name;
  }
}

TEST(Catalog, AgreesWithTheRecordsOfTheRealModels) {
  DUET_SKIP_WITHOUT_ASSETS("golden/real/models.json");
  const Json records = parse_json(read_text_file(test::assets("golden/real/models.json"), 1 << 20), "models.json");
  const Catalog catalog = load_catalog();
  const auto text = [](const Json& in, std::string_view key) { return in.find(key)->string(); };
  const Json::Array& models = records.find("models")->array();
  EXPECT_EQ(models.size(), catalog.models.size());
  for (const Json& record : models) {
    const CatalogModel* model = catalog.find(text(record, "name"));
    ASSERT_NE(model, nullptr) << text(record, "name");
    EXPECT_EQ(model->title, text(record, "title"));
    EXPECT_EQ(model->family, text(record, "family"));
    EXPECT_EQ(model->architecture, text(record, "architecture"));
    EXPECT_EQ(static_cast<int64_t>(model->bytes), record.find("bytes")->integer());
    EXPECT_EQ(model->sha256, text(record, "sha256"));
    const Json& licence = *record.find("licence");
    EXPECT_EQ(model->licence, (Licence{text(licence, "in_file"), text(licence, "in_package"), text(licence, "model")}));
    const Json::Array& parts = record.find("parts")->array();
    const Json::Array& packages = record.find("packages")->array();
    ASSERT_EQ(model->sources.at(0).parts.size(), parts.size());
    for (size_t i = 0; i < parts.size(); ++i) {
      const WheelPart& part = model->sources[0].parts[i];
      EXPECT_EQ(part.package, text(packages[i], "name"));
      EXPECT_EQ(part.version, text(packages[i], "version"));
      EXPECT_EQ(part.wheel, text(parts[i], "wheel"));
      EXPECT_EQ(part.member, text(parts[i], "member"));
      EXPECT_EQ(static_cast<int64_t>(part.bytes), parts[i].find("bytes")->integer());
      EXPECT_EQ(part.sha256, text(parts[i], "sha256"));
    }
  }
}

TEST(Catalog, AnotherFileMayBeNamed) {
  const auto path = test::temporary_folder() / "mine.toml";
  std::ofstream(path) << catalog_with("title = \"M\"", "title = 1");
  ::setenv("DUET_CATALOG", path.c_str(), 1);
  EXPECT_ERROR(load_catalog(), ErrorCode::kBadType, "mine.toml: line 5");
  std::ofstream(path) << catalog_with();
  EXPECT_EQ(load_catalog().default_name, "m");
  ::setenv("DUET_CATALOG", "/nonexistent/catalog.toml", 1);
  EXPECT_ERROR(load_catalog(), ErrorCode::kNotFound, "/nonexistent/catalog.toml");
  ::unsetenv("DUET_CATALOG");
}

TEST(Sha256, MatchesTheStandardsExamples) {  // FIPS 180-4, "abc" and the empty text
  const auto hash = [](std::string_view text) {
    Sha256 sum;
    for (const char& c : text) sum.update(std::as_bytes(std::span(&c, 1)));
    return sum.finish();
  };
  EXPECT_EQ(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace
}  // namespace duet
