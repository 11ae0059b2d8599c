#include "hub/store.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "hub/listing.h"
#include "hub/pull.h"
#include "hub/resolve.h"
#include "tests/support.h"

namespace duet {
namespace {

namespace fs = std::filesystem;
using test::read_file;

const std::string kHashA(64, 'a');
const std::string kHashB(64, 'b');

void write(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

StoredModel entry(const std::string& name, const std::string& hash, uint64_t bytes) {
  StoredModel model;
  model.name = name;
  model.title = "A \"title\"";
  model.family = "llama";
  model.architecture = "llama";
  model.licence = {"none", "none", "MIT"};
  model.source = "pip: x 1";
  model.bytes = bytes;
  model.sha256 = hash;
  return model;
}

/// A model of the catalogue, 7 bytes long.
Catalog one_model_catalog() {
  Catalog catalog;
  catalog.default_name = "smollm2-135m";
  CatalogModel model;
  model.name = "smollm2-135m";
  model.aliases = {"smollm2-135m-instruct-q4_1"};
  model.family = "llama";
  model.bytes = 7;
  model.sha256 = kHashA;
  model.licence = {"x", "y", "Apache-2.0"};
  catalog.models.push_back(model);
  return catalog;
}

class StoreTest : public testing::Test {
 protected:
  Store store_{test::temporary_folder() / "home"};
  Catalog catalog_ = one_model_catalog();

  StoredModel put(const std::string& name, const std::string& hash, std::string_view text) {
    const fs::path file = store_.home() / "incoming";
    write(file, text);
    const StoredModel model = entry(name, hash, text.size());
    store_.add_file(file, model);
    return model;
  }
};

TEST_F(StoreTest, AnAbsentOneIsEmptyAndStaysAbsent) {
  EXPECT_TRUE(store_.models().empty());
  EXPECT_FALSE(store_.find("m").has_value());
  EXPECT_EQ(store_.downloaded_bytes(kHashA), 0u);
  EXPECT_FALSE(fs::exists(store_.home()));
}

TEST_F(StoreTest, KeepsAFileByItsContentAndFindsItByName) {
  put("m", kHashA, "content");
  const auto found = store_.find("m");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->title, "A \"title\"");
  EXPECT_EQ(found->licence, (Licence{"none", "none", "MIT"}));
  EXPECT_EQ(found->bytes, 7u);
  EXPECT_EQ(found->sha256, kHashA);
  EXPECT_EQ(store_.state(*found), StoredState::kReady);
  EXPECT_EQ(read_file(store_.path_of(*found)), "content");
  EXPECT_EQ(store_.path_of(*found).filename(), "m.gguf");
  EXPECT_EQ(read_file(store_.home() / "blobs" / ("sha256-" + kHashA)), "content");
  EXPECT_FALSE(fs::exists(store_.home() / "incoming"));
}

TEST_F(StoreTest, FindsTheBytesWithoutTheLink) {
  const StoredModel model = put("m", kHashA, "content");
  fs::remove(store_.home() / "models" / "m.gguf");
  EXPECT_EQ(store_.path_of(model), store_.blob(kHashA));
}

TEST_F(StoreTest, RemovesBytesWithTheLastNameThatNeedsThem) {
  put("m", kHashA, "content");
  put("n", kHashA, "content");
  put("o", kHashB, "other");
  const Removal first = store_.remove("m");
  EXPECT_TRUE(first.shared);
  EXPECT_EQ(first.freed_bytes, 0u);
  EXPECT_TRUE(fs::exists(store_.blob(kHashA)));
  const Removal second = store_.remove("n");
  EXPECT_FALSE(second.shared);
  EXPECT_EQ(second.freed_bytes, 7u);
  EXPECT_FALSE(fs::exists(store_.blob(kHashA)));
  EXPECT_FALSE(fs::is_symlink(fs::symlink_status(store_.home() / "models" / "n.gguf")));
  EXPECT_TRUE(fs::exists(store_.blob(kHashB)));
  EXPECT_ERROR(store_.remove("n"), ErrorCode::kNotFound, "'n'");
}

TEST_F(StoreTest, DropsTheBytesThatANameStoodForBefore) {
  put("m", kHashA, "content");
  put("m", kHashB, "newer");
  EXPECT_FALSE(fs::exists(store_.blob(kHashA)));
  EXPECT_EQ(read_file(store_.path_of(*store_.find("m"))), "newer");
}

TEST_F(StoreTest, SaysWhatIsWrongWithAFile) {
  const StoredModel model = put("m", kHashA, "content");
  write(store_.blob(kHashA), "cut");
  EXPECT_EQ(store_.state(model), StoredState::kDamaged);
  EXPECT_ERROR(resolve_model("m", store_, catalog_), ErrorCode::kHashMismatch, "should have 7 bytes");
  fs::remove(store_.blob(kHashA));
  EXPECT_EQ(store_.state(model), StoredState::kMissing);
  EXPECT_ERROR(resolve_model("m", store_, catalog_), ErrorCode::kNotFound, "is gone");
}

TEST_F(StoreTest, SurvivesDamagedEntries) {
  put("good", kHashA, "content");
  const char* kBad[] = {"",
                        "{",
                        "[]",
                        "{}",
                        R"({"version":2})",
                        R"({"version":"1"})",
                        R"({"version":1,"name":"other"})",
                        R"({"version":1,"name":"bad","title":3})"};
  for (const char* text : kBad) {
    SCOPED_TRACE(text);
    write(store_.home() / "manifests" / "bad.json", text);
    ASSERT_EQ(store_.models().size(), 2u);
    const auto bad = store_.find("bad");
    ASSERT_TRUE(bad.has_value());
    EXPECT_NE(bad->problem.find("bad.json"), std::string::npos) << bad->problem;
    EXPECT_EQ(store_.state(*bad), StoredState::kDamaged);
    EXPECT_ERROR(resolve_model("bad", store_, catalog_), ErrorCode::kHashMismatch, "cannot be read");
    EXPECT_EQ(list_models(store_, catalog_).size(), 3u);
  }
  const Removal removal = store_.remove("good");  // the damaged entry may need the same bytes
  EXPECT_TRUE(removal.shared);
  EXPECT_TRUE(fs::exists(store_.blob(kHashA)));
  EXPECT_EQ(store_.remove("bad").freed_bytes, 7u);
  EXPECT_FALSE(fs::exists(store_.blob(kHashA)));
}

TEST_F(StoreTest, EntriesThatPointElsewhereAreDamaged) {
  for (const char* text :
       {R"(,"bytes":1,"sha256":"../../../etc/passwd"})", R"(,"bytes":-1,"sha256":"x"})", R"(,"bytes":1})",
        R"(,"bytes":1,"adopted":"relative/path","modified_ns":0})", R"(,"bytes":1,"adopted":"/x"})"}) {
    write(store_.home() / "manifests" / "bad.json",
          std::string(R"({"version":1,"name":"bad","title":"","family":"","architecture":"","source":"",)") +
              R"("licence":{"in_file":"","in_package":"","model":""})" + text);
    EXPECT_NE(store_.find("bad")->problem, "") << text;
  }
}

TEST_F(StoreTest, IgnoresWhatIsNoEntry) {
  put("m", kHashA, "content");
  write(store_.home() / "manifests" / "m.json.123.tmp", "half");
  write(store_.home() / "manifests" / ".hidden.json", "{}");
  EXPECT_EQ(store_.models().size(), 1u);
  EXPECT_FALSE(store_.find("../manifests/m").has_value());
  EXPECT_FALSE(store_.find("").has_value());
}

TEST_F(StoreTest, NamesTheFolderThatItCannotMake) {
  const fs::path file = test::temporary_folder() / "file";
  write(file, "x");
  const Store store(file / "home");
  EXPECT_ERROR(store.enter(entry("m", kHashA, 1)), ErrorCode::kIoError, "home");
}

TEST_F(StoreTest, ManyProcessesDoNotDisturbEachOther) {
  constexpr int kProcesses = 4;
  constexpr int kRounds = 25;
  fs::create_directories(store_.home());
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      try {
        const std::string name = "m" + std::to_string(p);
        for (int i = 0; i < kRounds; ++i) {
          const fs::path file = store_.home() / ("incoming" + name);
          write(file, "content");
          store_.add_file(file, entry(name, kHashA, 7));
          const auto found = store_.find(name);
          if (!found || store_.state(*found) != StoredState::kReady) ::_exit(2);
          store_.models();
          store_.remove(name);
        }
        const fs::path file = store_.home() / ("incoming" + name);
        write(file, "content");
        store_.add_file(file, entry(name, kHashA, 7));
        ::_exit(0);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ::_exit(1);
      }
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(store_.models().size(), static_cast<size_t>(kProcesses));
  for (const StoredModel& model : store_.models()) EXPECT_EQ(store_.state(model), StoredState::kReady) << model.name;
}

TEST_F(StoreTest, ALockIsHeldByOneAndFreedWithItsHolder) {
  const fs::path path = test::temporary_folder() / "lock";
  {
    const FileLock held = FileLock::acquire(path);
    EXPECT_FALSE(FileLock::try_acquire(path).has_value());
    bool waited = false;
    EXPECT_ERROR(FileLock::acquire(
                     path, [] { return true; }, [&] { waited = true; }),
                 ErrorCode::kCancelled, "waiting");
    EXPECT_TRUE(waited);
    held.remove_file();  // whoever waits on the removed file must not believe to hold the lock
    EXPECT_TRUE(FileLock::try_acquire(path).has_value());
  }
  EXPECT_TRUE(FileLock::try_acquire(path).has_value());
}

TEST_F(StoreTest, AdoptsAFileWithoutCopyingIt) {
  const fs::path file = test::temporary_folder() / "My Model (v2).gguf";
  write(file, "weights");
  const Pulled adopted = adopt_model(file, {}, store_, catalog_);
  EXPECT_EQ(adopted.model.name, "My-Model-v2");
  EXPECT_EQ(resolve_model("My-Model-v2", store_, catalog_), file);
  EXPECT_EQ(store_.state(adopted.model), StoredState::kReady);
  EXPECT_FALSE(fs::exists(store_.home() / "blobs"));
  write(file, "weights changed");
  EXPECT_EQ(store_.state(adopted.model), StoredState::kChanged);
  EXPECT_EQ(resolve_model("My-Model-v2", store_, catalog_), file);
  EXPECT_EQ(adopt_model(file, {}, store_, catalog_).model.bytes, 15u);  // refreshed
  fs::rename(file, file.string() + ".moved");
  EXPECT_EQ(store_.state(adopted.model), StoredState::kMissing);
  EXPECT_ERROR(resolve_model("My-Model-v2", store_, catalog_), ErrorCode::kNotFound,
               "was adopted from " + file.string());
  fs::rename(file.string() + ".moved", file);
  const Removed removed = remove_model("My-Model-v2", store_, catalog_);
  EXPECT_EQ(removed.kept, file);
  EXPECT_EQ(removed.freed_bytes, 0u);
  EXPECT_EQ(read_file(file), "weights changed");
}

TEST_F(StoreTest, AdoptsAFolder) {
  const fs::path folder = test::temporary_folder() / "llama";
  write(folder / "config.json", "{}");
  write(folder / "model.safetensors", "12345678");
  StoredModel model;
  model.name = "mine";
  const Pulled adopted = adopt_model(folder.string() + "/", model, store_, catalog_);
  EXPECT_EQ(adopted.path, folder);
  EXPECT_EQ(adopted.model.bytes, 10u);
  write(folder / "tokenizer.json", "{}");
  EXPECT_EQ(store_.state(adopted.model), StoredState::kChanged);
  remove_model("mine", store_, catalog_);
  EXPECT_TRUE(fs::exists(folder / "config.json"));
}

TEST_F(StoreTest, RefusesToAdoptWhatItCannotName) {
  const fs::path folder = test::temporary_folder();
  write(folder / "a.gguf", "a");
  write(folder / "b.gguf", "b");
  const auto adopt = [&](const fs::path& path, const std::string& name) {
    StoredModel model;
    model.name = name;
    return adopt_model(path, model, store_, catalog_);
  };
  EXPECT_ERROR(adopt(folder / "none.gguf", ""), ErrorCode::kNotFound, "none.gguf");
  EXPECT_ERROR(adopt("/dev/null", ""), ErrorCode::kIoError, "neither a file nor a folder");
  EXPECT_ERROR(adopt(folder / "a.gguf", "../a"), ErrorCode::kUsageError, "'../a'");
  EXPECT_ERROR(adopt(folder / "a.gguf", "smollm2-135m-instruct-q4_1"), ErrorCode::kUsageError, "catalogue");
  adopt(folder / "a.gguf", "mine");
  EXPECT_ERROR(adopt(folder / "b.gguf", "mine"), ErrorCode::kUsageError, "a.gguf already");
  put("pulled", kHashA, "content");
  EXPECT_ERROR(adopt(folder / "b.gguf", "pulled"), ErrorCode::kUsageError, "another model");
}

TEST_F(StoreTest, ResolvesPathsNamesAndAliases) {
  const fs::path file = test::temporary_folder() / "x.gguf";
  write(file, "x");
  EXPECT_EQ(resolve_model(file.string(), store_, catalog_), file);
  EXPECT_EQ(resolve_model(file.parent_path().string(), store_, catalog_), file.parent_path());
  EXPECT_ERROR(resolve_model(file.string() + "x.gguf", store_, catalog_), ErrorCode::kNotFound,
               "no such file or folder");
  put("smollm2-135m", kHashA, "content");
  EXPECT_EQ(read_file(resolve_model("smollm2-135m-instruct-q4_1", store_, catalog_)), "content");
}

TEST_F(StoreTest, SuggestsTheNearestNameOrAPull) {
  try {
    resolve_model("smollm2-135m-instruct-q4_1", store_, catalog_);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(error.hint().find("duet pull smollm2-135m"), std::string::npos) << error.hint();
    EXPECT_NE(error.hint().find("Apache-2.0"), std::string::npos) << error.hint();
  }
  put("my-own", kHashB, "content");
  EXPECT_ERROR(resolve_model("smolm2-135m", store_, catalog_), ErrorCode::kNotFound, "did you mean 'smollm2-135m'?");
  EXPECT_ERROR(resolve_model("my-onw", store_, catalog_), ErrorCode::kNotFound, "did you mean 'my-own'?");
  EXPECT_ERROR(resolve_model("zzz\x1b", store_, catalog_), ErrorCode::kNotFound, "called 'zzz\\x1b'");
  EXPECT_ERROR(resolve_model(std::string(100'000, 'a'), store_, catalog_), ErrorCode::kNotFound, "100000 bytes");
  EXPECT_ERROR(resolve_model("", store_, catalog_), ErrorCode::kNotFound, "''");
  EXPECT_ERROR(remove_model("smollm", store_, catalog_), ErrorCode::kNotFound, "smollm2-135m");
}

TEST(NearestName, CountsEditsAndKnowsItsLimit) {
  const std::vector<std::string> names{"qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "smollm2-135m"};
  EXPECT_EQ(nearest_name("qwen2.5-coder-1.5", names), "qwen2.5-coder-1.5b");
  EXPECT_EQ(nearest_name("Qwen2.5-Coder-0.5B", names), "qwen2.5-coder-0.5b");
  EXPECT_EQ(nearest_name("smlolm2-135m", names), "smollm2-135m");
  EXPECT_EQ(nearest_name("smollm", names), "smollm2-135m");
  EXPECT_EQ(nearest_name("1.5b", names), "qwen2.5-coder-1.5b");
  EXPECT_EQ(nearest_name("mistral", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("ab", {}), "");
  EXPECT_EQ(nearest_name("ba", {"ab"}), "");  // one swap of two letters is half the word
  EXPECT_EQ(nearest_name("bac", {"abc"}), "abc");
}

TEST_F(StoreTest, ListsTheCatalogueAndWhatIsHere) {
  std::vector<ListedModel> models = list_models(store_, catalog_);
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].state, "available");
  EXPECT_TRUE(models[0].is_default);
  EXPECT_TRUE(models[0].path.empty());
  write(store_.download_folder(kHashA) / "partial", "abc");
  models = list_models(store_, catalog_);
  EXPECT_EQ(models[0].state, "partial");
  EXPECT_NE(models[0].detail.find("3 bytes"), std::string::npos) << models[0].detail;
  put("smollm2-135m", kHashA, "content");
  put("other", kHashB, "content");
  models = list_models(store_, catalog_);
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].state, "ready");
  EXPECT_EQ(models[1].name, "other");
  EXPECT_FALSE(models[1].is_default);
}

TEST_F(StoreTest, RemovesWhatAnInterruptedPullLeft) {
  write(store_.download_folder(kHashA) / "partial", "abc");
  {
    const FileLock pulling = store_.lock_download(kHashA, {}, {});
    EXPECT_ERROR(remove_model("smollm2-135m", store_, catalog_), ErrorCode::kIoError, "another process");
  }
  EXPECT_EQ(remove_model("smollm2-135m", store_, catalog_).freed_bytes, 3u);
  EXPECT_FALSE(fs::exists(store_.download_folder(kHashA)));
  EXPECT_ERROR(remove_model("smollm2-135m", store_, catalog_), ErrorCode::kNotFound, "is not on this machine");
}

TEST(StoreHome, ComesFromTheEnvironment) {
  const std::string home = ::getenv("HOME") != nullptr ? ::getenv("HOME") : "";
  ::setenv("DUET_HOME", "/some/where", 1);
  EXPECT_EQ(Store::from_environment().home(), "/some/where");
  ::setenv("DUET_HOME", "", 1);
  ::setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(Store::from_environment().home(), "/home/someone/.local/share/duet");
  ::unsetenv("DUET_HOME");
  ::unsetenv("HOME");
  EXPECT_ERROR(Store::from_environment(), ErrorCode::kNotFound, "DUET_HOME");
  ::setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace duet
