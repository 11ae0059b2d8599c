// docs/adding-a-model.md follows the source: its example is the family that it names, word for word.
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

std::string words(const std::string& text) {
  std::string joined;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) joined += c;
  }
  return joined;
}

/// Blocks of C++ in a Markdown text.
std::vector<std::string> code_blocks(const std::string& text) {
  std::vector<std::string> blocks;
  const std::string open = "```cpp\n", close = "```\n";
  for (size_t at = text.find(open); at != std::string::npos; at = text.find(open, at)) {
    at += open.size();
    const size_t end = text.find(close, at);
    blocks.push_back(text.substr(at, end - at));
    at = end;
  }
  return blocks;
}

TEST(AddingAModel, TheExampleIsTheSource) {
  const fs::path root = golden("").parent_path().parent_path().parent_path();
  const auto read = [&](const char* name) { return read_text_file(root / name, 1 << 20); };
  const auto blocks = code_blocks(read("docs/adding-a-model.md"));
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_NE(words(read("src/model/families/qwen3_moe.cc")).find(words(blocks[0])), std::string::npos) << blocks[0];
  EXPECT_NE(words(read("src/model/families/families.h")).find(words(blocks[1])), std::string::npos) << blocks[1];
  EXPECT_NE(read("src/model/registry.cc").find("&qwen3_moe_family()"), std::string::npos);
  const std::string text = read("docs/adding-a-model.md"), spec = read("src/model/spec.h");
  for (const char* field : {"qk_norm", "qkv_bias", "output_bias", "window", "chunk", "temperature", "output_gate",
                            "GatedDeltaNetMixer", "MoeFfn"}) {
    EXPECT_NE(text.find(field), std::string::npos) << field;
    EXPECT_NE(spec.find(field), std::string::npos) << field;
  }
}

}  // namespace
}  // namespace duet::test
