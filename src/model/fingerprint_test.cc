#include "model/fingerprint.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

std::string fingerprint(const fs::path& path) {
  return model_fingerprint(Checkpoint::open(path, {.config = true, .weights = true}));
}

/// XORs a byte of a file.
void change(const fs::path& path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const int byte = file.get();
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 1));
}

TEST(Fingerprint, FollowsTheModelNotThePlace) {
  const fs::path one = golden("gguf/llama32-tied.bf16.gguf"), copy = temporary_folder() / "renamed.gguf";
  fs::copy_file(one, copy);
  const std::string own = fingerprint(one);
  EXPECT_EQ(own.size(), 16u);
  EXPECT_EQ(fingerprint(copy), own);
  EXPECT_NE(fingerprint(golden("gguf/qwen35-dense-vheads.bf16.gguf")), own);
  const fs::path folder = temporary_folder() / "model";
  fs::copy(golden("text/qwen3-dense"), folder, fs::copy_options::recursive);
  EXPECT_EQ(fingerprint(folder), fingerprint(golden("text/qwen3-dense")));
}

TEST(Fingerprint, AnyTensorAndAnyFieldChangesIt) {
  const fs::path path = temporary_folder() / "model.gguf";
  fs::copy_file(golden("gguf/llama32-tied.bf16.gguf"), path);
  const std::string own = fingerprint(path);
  const Checkpoint model = Checkpoint::open(path);
  size_t tensors = 0;
  for (const TensorEntry& tensor : model.tensors()) {
    for (const uint64_t at : {tensor.offset, tensor.offset + tensor.bytes - 1}) {
      change(path, static_cast<int64_t>(at));
      EXPECT_NE(fingerprint(path), own) << tensor.name;
      change(path, static_cast<int64_t>(at));
    }
    ++tensors;
  }
  EXPECT_GE(tensors, 10u);
  EXPECT_EQ(fingerprint(path), own);
  const fs::path folder = temporary_folder() / "folder";
  fs::copy(golden("text/qwen3-dense"), folder, fs::copy_options::recursive);
  const std::string before = fingerprint(folder);
  std::string config = read_file(folder / "config.json");
  const size_t at = config.find("\"rms_norm_eps\": ");
  ASSERT_NE(at, std::string::npos);
  config.replace(at, 16, "\"rms_norm_eps\": 1");
  std::ofstream(folder / "config.json", std::ios::trunc) << config;
  EXPECT_NE(fingerprint(folder), before);
}

}  // namespace
}  // namespace duet::test
