#include "formats/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "formats/gguf_split.h"
#include "tests/gguf_bytes.h"
#include "tests/golden_file.h"
#include "tests/support.h"

namespace duet {
namespace {

namespace fs = std::filesystem;
using test::GgufBytes;

std::vector<std::byte> read_all(const Checkpoint& checkpoint, const TensorEntry& tensor) {
  std::vector<std::byte> bytes(tensor.bytes);
  checkpoint.read(tensor, 0, bytes);
  return bytes;
}

void write(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  write_file_atomically(path, text);
}

/// A safetensors file of F32 tensors of one element each.
std::string safetensors(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}})", i > 0 ? "," : "", names[i],
                          4 * i, 4 * i + 4);
  }
  header += "}";
  return test::le<uint64_t>(header.size()) + header + std::string(4 * names.size(), 'd');
}

/// Every tensor of every file, as an independent reader sees it.
void expect_same(const Checkpoint& checkpoint, const std::vector<fs::path>& files) {
  size_t count = 0;
  for (const fs::path& path : files) {
    const test::GoldenFile golden(path);
    for (const std::string& name : golden.names()) {
      ++count;
      const TensorEntry* tensor = checkpoint.find(name);
      ASSERT_NE(tensor, nullptr) << name;
      EXPECT_EQ(tensor->shape, golden.shape(name)) << name;
      EXPECT_EQ(read_all(checkpoint, *tensor), golden.bytes(name)) << name;
      EXPECT_EQ(checkpoint.files()[static_cast<size_t>(tensor->file)]->name(), path.filename().string());
    }
  }
  EXPECT_EQ(checkpoint.tensors().size(), count);
}

TEST(Checkpoint, OpensEveryGoldenFolderWithItsTensorsAndBytes) {
  size_t folders = 0;
  for (const auto& entry : fs::directory_iterator(test::golden("text"))) {
    if (!entry.is_directory()) continue;
    ++folders;
    const fs::path folder = entry.path();
    const Checkpoint checkpoint = Checkpoint::open(folder, {.config = true, .weights = true});
    EXPECT_EQ(checkpoint.kind(), CheckpointKind::kFolder);
    EXPECT_EQ(checkpoint.name(), folder.filename().string());
    EXPECT_EQ(Checkpoint::open(folder / "").name(), folder.filename().string());
    ASSERT_NE(checkpoint.config(), nullptr);
    EXPECT_NE(checkpoint.config()->find("architectures"), nullptr);
    ASSERT_NE(checkpoint.generation_config(), nullptr);
    EXPECT_EQ(checkpoint.folder_file("config.json"), folder / "config.json");
    EXPECT_EQ(checkpoint.folder_file("absent.json"), std::nullopt);
    EXPECT_EQ(checkpoint.metadata(), nullptr);
    std::vector<fs::path> files;
    for (const auto& file : fs::directory_iterator(folder)) {
      const std::string name = file.path().filename().string();
      if (name.starts_with("model") && name.ends_with(".safetensors")) files.push_back(file.path());
    }
    expect_same(checkpoint, files);
    const fs::path index = folder / "model.safetensors.index.json";
    if (fs::exists(index)) expect_same(Checkpoint::open(index), files);
  }
  EXPECT_GE(folders, 14U);
}

TEST(Checkpoint, GgufTwinsHoldTheBytesOfTheirFolders) {
  size_t twins = 0;
  for (const auto& entry : fs::directory_iterator(test::golden("gguf"))) {
    if (entry.path().extension() != ".gguf") continue;
    const Checkpoint gguf = Checkpoint::open(entry.path());
    EXPECT_EQ(gguf.kind(), CheckpointKind::kGguf);
    EXPECT_EQ(gguf.gguf_version(), 3U);
    EXPECT_EQ(gguf.folder_file("config.json"), std::nullopt);
    const fs::path folder = test::golden("text") / entry.path().stem().stem();
    if (!fs::exists(folder / "model.safetensors")) continue;
    ++twins;
    const test::GoldenFile golden(folder / "model.safetensors");
    // Whole models, with images, keep the text model's tensors below another name.
    std::string prefix = "model.";
    for (const char* other : {"language_model.model.", "model.language_model."}) {
      if (golden.has(std::string(other) + "embed_tokens.weight")) prefix = other;
    }
    const auto expect_equal = [&](const char* gguf_name, const char* part) {
      const std::string name = prefix + part;
      const TensorEntry* tensor = gguf.find(gguf_name);
      ASSERT_NE(tensor, nullptr) << gguf_name;
      EXPECT_EQ(tensor->shape, golden.shape(name));
      EXPECT_EQ(read_all(gguf, *tensor), golden.bytes(name)) << entry.path();
    };
    expect_equal("token_embd.weight", "embed_tokens.weight");
    const bool is_mixture = gguf.find("blk.1.ffn_down.weight") == nullptr,
               is_hybrid = gguf.find("blk.0.ssm_a") != nullptr;
    if (!is_mixture) expect_equal("blk.1.ffn_down.weight", "layers.1.mlp.down_proj.weight");
    if (!is_hybrid) expect_equal("blk.0.attn_v.weight", "layers.0.self_attn.v_proj.weight");
  }
  EXPECT_GE(twins, 19U);
}

TEST(Checkpoint, ReadsPartsOfATensorAndNothingBehindIt) {
  const fs::path path = test::temporary_folder() / "m.gguf";
  write(path, GgufBytes().tensor("a", {4}, 0, "0123456789abcdef").tensor("b", {1}, 0, "wxyz").build());
  const Checkpoint checkpoint = Checkpoint::open(path);
  std::vector<std::byte> out(6);
  checkpoint.read(*checkpoint.find("a"), 10, out);
  EXPECT_EQ(std::memcmp(out.data(), "abcdef", 6), 0);
  EXPECT_ERROR(checkpoint.read(*checkpoint.find("a"), 11, out), ErrorCode::kTruncated, "'a'");
  EXPECT_ERROR(checkpoint.read(*checkpoint.find("a"), UINT64_MAX, out), ErrorCode::kTruncated, "'a'");
  fs::resize_file(path, fs::file_size(path) - 40);
  EXPECT_ERROR(checkpoint.read(*checkpoint.find("b"), 0, std::span(out).first(4)), ErrorCode::kTruncated, "m.gguf");
}

TEST(Checkpoint, TellsFilesWithoutAnEndingByTheirBytes) {
  const fs::path folder = test::temporary_folder();
  write(folder / "blob1", GgufBytes().string("k", "v").build());
  write(folder / "blob2", safetensors({"a"}));
  write(folder / "blob3", std::string("PK\3\4", 4) + std::string(100, 'x'));
  write(folder / "blob4", "hello");
  write(folder / "old.bin", GgufBytes().build());
  write(folder / "model.pt", "anything");
  EXPECT_EQ(Checkpoint::open(folder / "blob1").kind(), CheckpointKind::kGguf);
  EXPECT_EQ(Checkpoint::open(folder / "blob2").kind(), CheckpointKind::kSafetensors);
  EXPECT_EQ(Checkpoint::open(folder / "old.bin").kind(), CheckpointKind::kGguf);
  EXPECT_ERROR(Checkpoint::open(folder / "blob3"), ErrorCode::kPickleRefused, "blob3");
  EXPECT_ERROR(Checkpoint::open(folder / "blob4"), ErrorCode::kBadMagic, "hello");
  EXPECT_ERROR(Checkpoint::open(folder / "model.pt"), ErrorCode::kPickleRefused, "model.pt");
  EXPECT_ERROR(Checkpoint::open(folder / "absent"), ErrorCode::kNotFound, "absent");
}

// ---- split GGUF files ----

GgufBytes part(int number, int count, int total) {
  GgufBytes g;
  g.u16("split.no", static_cast<uint16_t>(number))
      .u16("split.count", static_cast<uint16_t>(count))
      .i32("split.tensors.count", total);
  if (number == 0) g.string("general.architecture", "llama");
  return g;
}

std::string one(int i) { return std::string(4, static_cast<char>('0' + i)); }

TEST(Checkpoint, OpensASplitFileFromAnyPart) {
  const fs::path folder = test::temporary_folder();
  const auto name = [&](int i) { return folder / fmt::format("big model-{:05}-of-00003.gguf", i + 1); };
  write(name(0), part(0, 3, 3).build());  // llama.cpp can leave the first part without tensors
  write(name(1), part(1, 3, 3).tensor("b", {1}, 0, one(1)).tensor("c", {1}, 0, one(2)).build());
  write(name(2), part(2, 3, 3).tensor("a", {1}, 0, one(0)).build());
  for (int i = 0; i < 3; ++i) {
    const Checkpoint checkpoint = Checkpoint::open(name(i));
    EXPECT_EQ(checkpoint.name(), name(i).filename().string());
    EXPECT_EQ(checkpoint.files().size(), 3U);
    EXPECT_EQ(checkpoint.metadata()->require_string("general.architecture"), "llama");
    ASSERT_EQ(checkpoint.tensors().size(), 3U);
    for (int t = 0; t < 3; ++t) {
      const auto bytes = read_all(checkpoint, *checkpoint.find(std::string(1, static_cast<char>('a' + t))));
      EXPECT_EQ(std::memcmp(bytes.data(), one(t).data(), 4), 0);
    }
  }
  EXPECT_EQ(Checkpoint::open(folder).tensors().size(), 3U);  // a folder with one model
  EXPECT_EQ(Checkpoint::open(folder, {.config = true, .weights = true}).kind(), CheckpointKind::kGguf);
  fs::remove(name(1));
  EXPECT_ERROR(Checkpoint::open(name(2)), ErrorCode::kMissingShard, "big model-00002-of-00003.gguf");
  write(name(1), part(1, 3, 3).string("general.architecture", "qwen2").build());
  EXPECT_ERROR(Checkpoint::open(name(0)), ErrorCode::kShardMismatch, "general.architecture");
  write(name(1), GgufBytes().build());
  EXPECT_ERROR(Checkpoint::open(name(0)), ErrorCode::kMissingKey, "split.no");
  write(name(1), GgufBytes().u16("split.no", 1).build());
  EXPECT_ERROR(Checkpoint::open(name(0)), ErrorCode::kShardMismatch, "split.count");
  write(name(1), part(1, 3, 3).tensor("b", {1}, 0, one(1)).build());
  EXPECT_ERROR(Checkpoint::open(name(0)), ErrorCode::kShardMismatch, "split.tensors.count");
  fs::rename(name(0), folder / "renamed.gguf");
  EXPECT_ERROR(Checkpoint::open(folder / "renamed.gguf"), ErrorCode::kMissingShard, "renamed.gguf");
  EXPECT_ERROR(Checkpoint::open(folder), ErrorCode::kBadValue, "3 GGUF files");
}

TEST(Checkpoint, SplitCountsOutOfRangeAreErrors) {
  const fs::path path = test::temporary_folder() / "m-00001-of-00002.gguf";
  write(path, GgufBytes().i32("split.count", -1).build());
  EXPECT_ERROR(Checkpoint::open(path), ErrorCode::kBadValue, "split.count");
  write(path, GgufBytes().string("split.count", "2").build());
  EXPECT_ERROR(Checkpoint::open(path), ErrorCode::kBadType, "split.count");
  write(path, part(0, 1, 0).build());
  EXPECT_EQ(Checkpoint::open(path).files().size(), 1U);  // one part is a whole file
}

TEST(GgufPartName, IsParsedAndWritten) {
  const auto name = GgufPartName::parse("a-b-00002-of-00010.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->prefix, "a-b");
  EXPECT_EQ(name->part, 1);
  EXPECT_EQ(name->count, 10);
  EXPECT_EQ(name->str(), "a-b-00002-of-00010.gguf");
  for (const char* wrong :
       {"a.gguf", "a-00001-of-00002", "a-0001-of-00002.gguf", "a-00003-of-00002.gguf", "a-00000-of-00002.gguf",
        "a-0x001-of-00002.gguf", "-of-00002.gguf", "a00001-of-00002.gguf", "a--0001-of-00002.gguf", ""}) {
    EXPECT_FALSE(GgufPartName::parse(wrong)) << wrong;
  }
}

// ---- folders ----

constexpr std::string_view kConfig = R"({"architectures":["X"],"vocab_size":10})";

TEST(Checkpoint, AFolderHasOnlyWhatIsNeeded) {
  const fs::path folder = test::temporary_folder();
  EXPECT_TRUE(Checkpoint::open(folder).tensors().empty());
  EXPECT_ERROR(Checkpoint::open(folder, {.config = true}), ErrorCode::kNotFound, "config.json");
  write(folder / "config.json", kConfig);
  EXPECT_TRUE(Checkpoint::open(folder, {.config = true}).tensors().empty());
  EXPECT_ERROR(Checkpoint::open(folder, {.weights = true}), ErrorCode::kNotFound, "model.safetensors");
  write(folder / "pytorch_model.bin", "x");
  EXPECT_TRUE(Checkpoint::open(folder).tensors().empty());  // text only: the weights do not matter
  EXPECT_ERROR(Checkpoint::open(folder, {.config = true}), ErrorCode::kPickleRefused, "pytorch_model.bin");
  write(folder / "model.safetensors", safetensors({"a"}));
  EXPECT_EQ(Checkpoint::open(folder, {.config = true, .weights = true}).tensors().size(), 1U);
  write(folder / "config.json", "[]");
  EXPECT_ERROR(Checkpoint::open(folder), ErrorCode::kBadJson, "config.json");
}

TEST(Checkpoint, JsonFilesAreJudgedBeforeAMissingConfig) {
  const fs::path folder = test::temporary_folder();
  write(folder / "generation_config.json", R"({"top_p":1.5})");
  EXPECT_ERROR(Checkpoint::open(folder, {.config = true}), ErrorCode::kBadValue,
               "generation_config.json: top_p is 1.5");
  write(folder / "generation_config.json", R"({"top_p":null,"temperature":0,"eos_token_id":[9,10]})");
  EXPECT_ERROR(Checkpoint::open(folder, {.config = true}), ErrorCode::kNotFound, "config.json");
  write(folder / "config.json", kConfig);
  EXPECT_ERROR(Checkpoint::open(folder), ErrorCode::kBadValue, "eos_token_id is 10, expected token ids from 0 to 9");
  write(folder / "config.json", R"({"text_config":{"vocab_size":11}})");
  EXPECT_EQ(Checkpoint::open(folder).generation_config()->find("temperature")->integer(), 0);
  for (const char* bad : {R"({"eos_token_id":"2"})", R"({"bos_token_id":-1})", R"({"do_sample":1})", R"({"top_k":1.5})",
                          R"({"min_p":-0.1})", R"({"typical_p":2})", R"({"repetition_penalty":0})",
                          R"({"temperature":true})", R"({"eos_token_id":[[1]]})"}) {
    write(folder / "generation_config.json", bad);
    EXPECT_ERROR(Checkpoint::open(folder), ErrorCode::kBadValue, "generation_config.json");
  }
  fs::remove(folder / "generation_config.json");
  fs::remove(folder / "config.json");
  write(folder / "model.safetensors.index.json", "{");
  EXPECT_ERROR(Checkpoint::open(folder, {.config = true}), ErrorCode::kBadJson, "model.safetensors.index.json");
}

std::string index(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string map;
  for (const auto& [name, shard] : entries)
    map += fmt::format("{}{}:{}", map.empty() ? "" : ",", json_quote(name), json_quote(shard));
  return R"({"metadata":{"weight_map":{"x":1}},"weight_map":{)" + map + "}}";
}

TEST(Checkpoint, ShardsAndIndexMustAgree) {
  const fs::path folder = test::temporary_folder();
  const fs::path at = folder / "model.safetensors.index.json";
  write(folder / "s1.safetensors", safetensors({"a", "b"}));
  write(folder / "sub" / "s2.safetensors", safetensors({"c"}));
  write(at, index({{"a", "s1.safetensors"}, {"b", "s1.safetensors"}, {"c", "sub/s2.safetensors"}}));
  EXPECT_EQ(Checkpoint::open(at).tensors().size(), 3U);
  EXPECT_EQ(Checkpoint::open(folder).tensors().size(), 3U);
  write(at, index({{"a", "s1.safetensors"}, {"c", "sub/s2.safetensors"}}));
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kShardMismatch, "'b'");
  write(
      at,
      index({{"a", "s1.safetensors"}, {"b", "s1.safetensors"}, {"c", "sub/s2.safetensors"}, {"d", "s1.safetensors"}}));
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kShardMismatch, "'d'");
  write(at, index({{"a", "s1.safetensors"}, {"b", "sub/s2.safetensors"}, {"c", "sub/s2.safetensors"}}));
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kShardMismatch, "'b'");
  write(at, index({{"a", "s1.safetensors"}, {"a", "s1.safetensors"}}));
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kBadKey, "'a'");
  write(at, index({{"a", "pytorch_model.bin"}}));
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kPickleRefused, "pytorch_model.bin");
  write(at, index({{"a", "s9.safetensors"}}));
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kMissingShard, "s9.safetensors");
  write(folder / "s3.safetensors", safetensors({"a"}));
  write(at, index({{"a", "s1.safetensors"}, {"b", "s1.safetensors"}, {"c", "s3.safetensors"}}));
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kDuplicateTensor, "'a'");
  for (const char* bad :
       {R"({"weight_map":{"a":["s1"]}})", R"({"weight_map":{"a":{"x":"s1"}}})", R"({"weight_map":null})"}) {
    write(at, bad);
    EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kBadValue, "weight_map");
  }
  write(at, R"({"weight_map":{},"weight_map":{}})");
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kBadKey, "weight_map");
  write(at, "3");
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kBadJson, "index.json");
  write(at, "[]");
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kBadJson, "index.json");
}

TEST(Checkpoint, NamesAndLinksStayInsideTheFolder) {
  const fs::path root = test::temporary_folder();
  const fs::path folder = root / "model";
  write(root / "outside.json", "{}");
  write(root / "outside.safetensors", safetensors({"a"}));
  write(folder / "inner" / "real.safetensors", safetensors({"a"}));
  fs::create_symlink("inner/real.safetensors", folder / "model.safetensors");
  EXPECT_EQ(Checkpoint::open(folder).tensors().size(), 1U);
  fs::create_symlink(folder, root / "other name");  // what the user names may be a link itself
  EXPECT_EQ(Checkpoint::open(root / "other name").tensors().size(), 1U);
  fs::create_symlink("../outside.json", folder / "config.json");
  EXPECT_ERROR(Checkpoint::open(folder), ErrorCode::kPathEscape, "config.json");
  fs::remove(folder / "config.json");
  fs::create_symlink("nothing", folder / "config.json");
  EXPECT_ERROR(Checkpoint::open(folder), ErrorCode::kNotFound, "config.json: is a link to nothing");
  fs::remove(folder / "config.json");
  fs::create_symlink("config.json", folder / "config.json");
  EXPECT_ERROR(Checkpoint::open(folder), ErrorCode::kIoError, "config.json");
  fs::remove(folder / "config.json");
  fs::create_symlink("../outside.json", folder / "tokenizer.json");
  EXPECT_ERROR(Checkpoint::open(folder).folder_file("tokenizer.json"), ErrorCode::kPathEscape, "tokenizer.json");
  fs::create_directory_symlink("..", folder / "up");
  const fs::path at = folder / "model.safetensors.index.json";
  for (const char* bad : {"../outside.safetensors", "/etc/passwd", "x/../../outside.safetensors", "..\\x.safetensors",
                          "http://host/x.safetensors", "up/outside.safetensors", ".."}) {
    write(at, index({{"a", bad}}));
    EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kPathEscape,
                 bad == std::string("..\\x.safetensors") ? "x.safetensors" : bad);
  }
  write(at, R"({"weight_map":{"a":"a\u0000b.safetensors"}})");
  EXPECT_ERROR(Checkpoint::open(at), ErrorCode::kPathEscape, "index.json");
}

TEST(Checkpoint, AHubCacheMayLinkToItsOwnBlobs) {
  const fs::path hub = test::temporary_folder();
  const fs::path repository = hub / "models--org--name";
  const fs::path snapshot = repository / "snapshots" / "0123456789abcdef";
  fs::create_directories(snapshot);
  const std::string hash(64, 'a');
  const std::string short_hash(40, 'b');
  write(repository / "blobs" / hash, safetensors({"a"}));
  write(repository / "blobs" / short_hash, kConfig);
  fs::create_symlink("../../blobs/" + hash, snapshot / "model.safetensors");
  fs::create_symlink("../../blobs/" + short_hash, snapshot / "config.json");
  EXPECT_EQ(Checkpoint::open(snapshot, {.config = true, .weights = true}).tensors().size(), 1U);
  fs::create_symlink(snapshot, hub / "latest");
  EXPECT_EQ(Checkpoint::open(hub / "latest").tensors().size(), 1U);

  const auto link_to = [&](const fs::path& target) {
    fs::remove(snapshot / "config.json");
    fs::create_symlink(target, snapshot / "config.json");
  };
  write(repository / "blobs" / "not-a-hash", kConfig);
  link_to("../../blobs/not-a-hash");
  EXPECT_ERROR(Checkpoint::open(snapshot), ErrorCode::kPathEscape, "config.json");
  write(hub / "models--org--other" / "blobs" / short_hash, kConfig);
  link_to("../../../models--org--other/blobs/" + short_hash);
  EXPECT_ERROR(Checkpoint::open(snapshot), ErrorCode::kPathEscape, "config.json");
  write(repository / "refs" / "main", kConfig);
  link_to("../../refs/main");
  EXPECT_ERROR(Checkpoint::open(snapshot), ErrorCode::kPathEscape, "config.json");
  link_to("../../blobs/" + std::string(40, 'c'));
  EXPECT_ERROR(Checkpoint::open(snapshot), ErrorCode::kNotFound, "config.json");
  // The exception is for snapshots only.
  fs::rename(repository / "snapshots", repository / "elsewhere");
  EXPECT_ERROR(Checkpoint::open(repository / "elsewhere" / "0123456789abcdef"), ErrorCode::kNotFound, "config.json");
  fs::remove(repository / "elsewhere" / "0123456789abcdef" / "config.json");
  EXPECT_ERROR(Checkpoint::open(repository / "elsewhere" / "0123456789abcdef"), ErrorCode::kPathEscape,
               "model.safetensors");
}

}  // namespace
}  // namespace duet
