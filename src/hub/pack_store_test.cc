#include "hub/pack_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "model/synthetic.h"
#include "tests/support.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

class PackStoreTest : public testing::Test {
 protected:
  Store store_{test::temporary_folder() / "home"};
  PackStore packs_{store_};
  std::vector<std::string> said_;

  fs::path put(const std::string& name, size_t bytes, int age_seconds) {
    const fs::path path = packs_.folder() / name;
    fs::create_directories(packs_.folder());
    std::ofstream(path) << std::string(bytes, 'x');
    const struct timespec then { ::time(nullptr) - age_seconds, 0 };
    const struct timespec times[] = {then, then};
    ::utimensat(AT_FDCWD, path.c_str(), times, 0);
    return path;
  }
  bool make_room(const std::string& name, int64_t bytes, int64_t limit) {
    return packs_.make_room(packs_.folder() / name, bytes, limit,
                            [&](const std::string& line) { said_.push_back(line); });
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const KeptPack& pack : packs_.list()) out.push_back(pack.model);
    return out;
  }
};

const std::string kHash = "-0123456789abcdef.pack";

TEST_F(PackStoreTest, AnAbsentOneIsEmpty) {
  EXPECT_TRUE(packs_.list().empty());
  EXPECT_TRUE(packs_.clear().empty());
  EXPECT_FALSE(fs::exists(packs_.folder()));
}

TEST_F(PackStoreTest, ListsTheLastUsedFirstAndNothingElse) {
  const fs::path old = put("old" + kHash, 8192, 100);
  put("newer" + kHash, 4096, 50);
  put("lock", 0, 0);
  put("notes.txt", 10, 0);
  put(".pack", 10, 0);
  fs::create_directory(packs_.folder() / ("folder" + kHash));
  EXPECT_EQ(names(), (std::vector<std::string>{"newer", "old"}));
  EXPECT_EQ(packs_.list()[1].bytes, 8192u);
  PackStore::touch(old);
  EXPECT_EQ(names(), (std::vector<std::string>{"old", "newer"}));
}

TEST_F(PackStoreTest, MakesRoomByWhatWasUsedLongestAgo) {
  put("a" + kHash, 40960, 30);
  put("b" + kHash, 40960, 20);
  put("c" + kHash, 40960, 10);
  EXPECT_TRUE(make_room("d" + kHash, 40960, 200'000));
  EXPECT_EQ(names(), (std::vector<std::string>{"c", "b", "a"}));
  EXPECT_TRUE(make_room("d" + kHash, 100'000, 200'000));
  EXPECT_EQ(names(), (std::vector<std::string>{"c", "b"}));
  EXPECT_TRUE(make_room("b" + kHash, 150'000, 200'000));  // which replaces its own
  EXPECT_EQ(names(), (std::vector<std::string>{"c", "b"}));
  EXPECT_TRUE(said_.empty());
  EXPECT_FALSE(make_room("d" + kHash, 300'000, 200'000));
  EXPECT_EQ(names(), (std::vector<std::string>{"c", "b"}));
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_NE(said_[0].find("DUET_CACHE_LIMIT"), std::string::npos);
}

TEST_F(PackStoreTest, UnfinishedFilesGoWithTheirWriters) {
  put("mine" + kHash + "." + std::to_string(::getpid()) + ".0.tmp", 4096, 0);
  put("gone" + kHash + ".2147483646.0.tmp", 4096, 10);
  put("done" + kHash, 4096, 20);
  EXPECT_TRUE(packs_.list()[0].unfinished);
  EXPECT_TRUE(make_room("d" + kHash, 1, 100'000));
  EXPECT_EQ(names(), (std::vector<std::string>{"mine", "done"}));
  put("gone" + kHash + ".2147483646.0.tmp", 4096, 10);
  EXPECT_EQ(packs_.clear().size(), 2u);
  EXPECT_EQ(names(), std::vector<std::string>{"mine"});
}

TEST_F(PackStoreTest, TheLimitIsASize) {
  ::unsetenv("DUET_CACHE_LIMIT");
  EXPECT_EQ(PackStore::limit_from_environment(), PackStore::kDefaultLimitBytes);
  ::setenv("DUET_CACHE_LIMIT", "2GiB", 1);
  EXPECT_EQ(PackStore::limit_from_environment(), int64_t{2} << 30);
  ::setenv("DUET_CACHE_LIMIT", "lots", 1);
  EXPECT_ERROR(PackStore::limit_from_environment(), ErrorCode::kBadValue, "DUET_CACHE_LIMIT");
  ::unsetenv("DUET_CACHE_LIMIT");
}

TEST_F(PackStoreTest, AFileThatIsTouchedOrReplacedHasAnotherKey) {
  const fs::path model = test::temporary_folder() / "m.gguf";
  fs::copy_file(test::golden("gguf/llama32-tied.bf16.gguf"), model);
  const auto key = [&] { return checkpoint_key(store_, Checkpoint::open(model)); };
  const std::string first = key();
  EXPECT_EQ(key(), first);
  ::utimensat(AT_FDCWD, model.c_str(), nullptr, 0);
  const std::string touched = key();
  EXPECT_NE(touched, first);
  fs::copy_file(model, model.string() + ".new");
  fs::rename(model.string() + ".new", model);
  EXPECT_NE(key(), touched);
  // The path and what else makes a difference name the file.
  const Checkpoint checkpoint = Checkpoint::open(model);
  EXPECT_EQ(packs_.path_of(checkpoint, "a"), packs_.path_of(Checkpoint::open(model), "a"));
  EXPECT_NE(packs_.path_of(checkpoint, "a"), packs_.path_of(checkpoint, "b"));
  EXPECT_TRUE(packs_.path_of(checkpoint, "a").filename().string().starts_with("m-"));
}

TEST_F(PackStoreTest, AStoredModelIsKnownByItsHash) {
  const std::string hash(64, 'a');
  const fs::path incoming = store_.home() / "incoming";
  fs::create_directories(store_.home());
  fs::copy_file(test::golden("gguf/llama32-tied.bf16.gguf"), incoming);
  StoredModel model;
  model.name = "m";
  model.sha256 = hash;
  model.bytes = fs::file_size(incoming);
  store_.add_file(incoming, model);
  const std::string key = checkpoint_key(store_, Checkpoint::open(store_.path_of(model)));
  EXPECT_EQ(key, "sha256-" + hash + "\n");
  ::utimensat(AT_FDCWD, store_.blob(hash).c_str(), nullptr, 0);
  EXPECT_EQ(checkpoint_key(store_, Checkpoint::open(store_.path_of(model))), key);
}

TEST_F(PackStoreTest, AConfigurationCounts) {
  const auto key = [&](const SyntheticOptions& options) {
    return checkpoint_key(store_, open_synthetic(test::golden("text/qwen3moe"), options));
  };
  EXPECT_EQ(key({.seed = 1}), key({.seed = 1}));
  EXPECT_NE(key({.seed = 1}), key({.seed = 2}));
  EXPECT_NE(key({.seed = 1}), key({.seed = 1, .layers = 1}));
  const fs::path folder = test::temporary_folder() / "folder";
  fs::copy(test::golden("text/llama32-tied"), folder);
  const Checkpoint before = Checkpoint::open(folder, {.config = true, .weights = true});
  std::string text = read_text_file(folder / "config.json", 1 << 20);
  std::ofstream(folder / "config.json") << text.replace(text.rfind('}'), 1, ", \"x_note\": 1}");
  const Checkpoint after = Checkpoint::open(folder, {.config = true, .weights = true});
  EXPECT_NE(checkpoint_key(store_, before), checkpoint_key(store_, after));
}

}  // namespace
}  // namespace duet
