#include "model/packed_cache.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "base/checksum.h"
#include "ops/linear.h"
#include "tests/compare.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// A model that is loaded again and again with one cache.
class Subject {
 public:
  explicit Subject(const fs::path& path, std::string_view backend = "cpu", const DecoderOptions& options = {})
      : backend_(backend), options_(options) {
    checkpoint_ = Checkpoint::open(path, {.config = true, .weights = true});
    description_ = describe_model(checkpoint_);
    place_.file = temporary_folder() / "model.pack";
    place_.key = "the key";
    place_.say = [this](const std::string& line) { said_.push_back(line); };
    place_.used = [this] { ++served_; };
  }
  std::shared_ptr<const Decoder> load(const PackedCachePlace* place) {
    return Decoder::load(runtime_.backend(backend_), checkpoint_, description_, {}, options_, place);
  }
  std::shared_ptr<const Decoder> load() { return load(&place_); }
  /// Logits of a few tokens.
  std::vector<float> logits(std::shared_ptr<const Decoder> decoder) {
    Engine engine(std::move(decoder));
    return score_all(engine, {{TokenId{1}, TokenId{5}, TokenId{2}, TokenId{7}}}, false).logits;
  }
  /// Expects that a load gives the right bits and says `lines` lines; returns whether the cache served.
  bool expect_right(const std::vector<float>& expected, size_t lines) {
    said_.clear();
    const auto decoder = load();
    EXPECT_TRUE(same_bits(logits(decoder), expected));
    EXPECT_EQ(said_.size(), lines) << (said_.empty() ? "" : said_.front());
    return decoder->from_packed_cache();
  }

  PackedCachePlace place_;
  std::vector<std::string> said_;
  int served_ = 0;

 private:
  Runtime runtime_{2};
  std::string backend_;
  DecoderOptions options_;
  Checkpoint checkpoint_;
  ModelDescription description_;
};

/// The repository has only some of it.
fs::path weight_formats() {
  const fs::path all = assets("golden/weight_formats");
  return all.empty() ? golden("weight_formats") : all;
}

std::vector<fs::path> models() {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(golden("text"))) {
    if (fs::exists(entry.path() / "config.json")) paths.push_back(entry.path());
  }
  for (const char* set : {"gguf", "gguf_quant/llama", "gguf_quant/qwen3"}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(golden(set))) {
      if (entry.path().extension() == ".gguf") paths.push_back(entry.path());
    }
  }
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(weight_formats())) {
    if (entry.path().filename() == "model.safetensors") paths.push_back(entry.path().parent_path());
  }
  return paths;
}

TEST(PackedCache, EveryModelFromItEqualsTheModelFromItsFilesBitForBit) {
  size_t loaded = 0;
  for (const fs::path& path : models()) {
    for (const char* backend : {"cpu", "ref", "deferred"}) {
      SCOPED_TRACE(path.string() + " " + backend);
      Subject subject(path, backend, {.activations = Activations::kNative, .mtp = true});
      const auto plain = subject.load(nullptr);
      const auto written = subject.load();
      EXPECT_FALSE(written->from_packed_cache());
      const auto served = subject.load();
      EXPECT_TRUE(served->from_packed_cache());
      EXPECT_EQ(subject.served_, 1);
      EXPECT_EQ(subject.said_, std::vector<std::string>{});
      EXPECT_EQ(served->weight_bytes(), plain->weight_bytes());
      const std::vector<float> expected = subject.logits(plain);
      EXPECT_TRUE(same_bits(subject.logits(written), expected));
      EXPECT_TRUE(same_bits(subject.logits(served), expected));
      ++loaded;
    }
  }
  EXPECT_GE(loaded, 3 * 60u);
}

fs::path small_model() { return golden("gguf/llama32-tied.bf16.gguf"); }

TEST(PackedCache, AFlippedBitIsFoundAndTheCacheWrittenAnew) {
  Subject subject(small_model());
  const std::vector<float> expected = subject.logits(subject.load());
  const std::string whole = read_file(subject.place_.file);
  size_t found = 0, harmless = 0;
  const auto flip = [&](size_t byte) {
    SCOPED_TRACE(byte);
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << byte % 8));
    write_file(subject.place_.file, damaged);
    if (subject.load()->from_packed_cache()) {  // between the sections, where nothing is
      EXPECT_TRUE(subject.said_.empty());
      ++harmless;
    } else {
      EXPECT_EQ(subject.said_.size(), 1u);
      EXPECT_EQ(read_file(subject.place_.file), whole);
      ++found;
    }
    EXPECT_TRUE(subject.expect_right(expected, 0));
  };
  const size_t step = kSanitized ? 5 : 1;                     // all are found by the same checksums
  for (size_t byte = 0; byte < 56; byte += step) flip(byte);  // the head
  EXPECT_EQ(harmless, 0u);
  for (size_t byte = whole.size() - 300; byte < whole.size(); byte += 7 * step) flip(byte);  // the index
  EXPECT_EQ(harmless, 0u);
  std::vector<size_t> places;  // in the weights
  {
    const PackedCacheFile file(subject.place_.file, "the key");
    for (const char* weight :
         {"model.embed_tokens", "model.layers.0.self_attn.k_proj", "model.layers.1.mlp.down_proj"}) {
      const PackedEntry& entry = *file.find(std::string(weight) + ".weight");
      for (int64_t i = 0; i <= 8; ++i) places.push_back(static_cast<size_t>(entry.offset + (entry.bytes - 1) * i / 8));
    }
  }
  for (size_t i = 0; i < places.size(); i += step) flip(places[i]);
  EXPECT_EQ(harmless, 0u);
  EXPECT_EQ(found, kSanitized ? 12u + 9u + 6u : 56u + 43u + 27u);
  for (const size_t byte : {size_t{100}, size_t{4095}, places.front() - 1}) flip(byte);
  EXPECT_EQ(harmless, 3u);
}

TEST(PackedCache, ACutFileIsFoundAndWrittenAnew) {
  Subject subject(small_model());
  const std::vector<float> expected = subject.logits(subject.load());
  const std::string whole = read_file(subject.place_.file);
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{8}, size_t{55}, size_t{56}, size_t{4096}, whole.size() / 3,
                             whole.size() / 2, whole.size() - 4096, whole.size() - 1}) {
    SCOPED_TRACE(bytes);
    write_file(subject.place_.file, whole.substr(0, bytes));
    EXPECT_FALSE(subject.expect_right(expected, 1));
    EXPECT_EQ(read_file(subject.place_.file), whole);
  }
  write_file(subject.place_.file, whole + "x");
  EXPECT_FALSE(subject.expect_right(expected, 1));
  write_file(subject.place_.file,
             "GGUF, or whatever else was put there by hand: long enough to hold a head of 56 bytes");
  EXPECT_FALSE(subject.expect_right(expected, 1));
  EXPECT_TRUE(subject.expect_right(expected, 0));
}

/// A whole cache with a changed index or head, under right checksums.
template <typename Change>
std::string forged(std::string bytes, const Change& change) {
  uint64_t offset = 0, count = 0;
  std::memcpy(&offset, bytes.data() + 16, 8);
  std::memcpy(&count, bytes.data() + 24, 8);
  change(bytes, offset);
  const uint64_t index_sum = checksum64(std::as_bytes(std::span(bytes.data() + offset, count)));
  std::memcpy(bytes.data() + 32, &index_sum, 8);
  const uint64_t sum = checksum64(std::as_bytes(std::span(bytes.data(), 48)));
  std::memcpy(bytes.data() + 48, &sum, 8);
  return bytes;
}

TEST(PackedCache, WhatLiesUnderRightChecksumsIsRefusedToo) {
  Subject subject(small_model());
  const std::vector<float> expected = subject.logits(subject.load());
  const std::string whole = read_file(subject.place_.file);
  const std::string weight = "model.layers.0.self_attn.q_proj.weight";
  const auto put = [](std::string& bytes, size_t at, auto value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  };
  int cases = 0;
  const auto refused = [&](auto change) {
    SCOPED_TRACE(++cases);
    write_file(subject.place_.file, forged(whole, [&](std::string& bytes, size_t index) {
                 change(bytes, index, bytes.find(weight, index) + weight.size());
               }));
    EXPECT_FALSE(subject.expect_right(expected, 1));
  };
  refused([&](std::string& bytes, size_t, size_t) { put(bytes, 8, uint32_t{1}); });                          // version
  refused([&](std::string& bytes, size_t index, size_t) { bytes[index + 4] = 'T'; });                        // key
  refused([&](std::string& bytes, size_t index, size_t) { put(bytes, index + 4 + 7, uint64_t{1} << 60); });  // count
  for (const size_t field : {4, 12, 20, 28}) {  // rows, cols, offset, bytes
    for (const int64_t value : {int64_t{-1}, int64_t{1}, int64_t{1} << 40, INT64_MAX}) {
      refused([&](std::string& bytes, size_t, size_t entry) { put(bytes, entry + field, value); });
    }
  }
  for (const uint32_t type : {0u, 1u, 5u, 9u, 15u, 24u, 108u, 1000u}) {
    refused([&](std::string& bytes, size_t, size_t entry) { put(bytes, entry, type); });
  }
  refused([&](std::string& bytes, size_t, size_t entry) { bytes[entry - 1] = 'x'; });  // a weight is missing
  // The shape of the matrix turned round: the same bytes, another model.
  refused([&](std::string& bytes, size_t, size_t entry) {
    const std::string rows = bytes.substr(entry + 4, 8), cols = bytes.substr(entry + 12, 8);
    bytes.replace(entry + 4, 8, cols == rows ? std::string(8, '\0') : cols).replace(entry + 12, 8, rows);
  });
  subject.place_.key = "another key";
  EXPECT_FALSE(subject.expect_right(expected, 1));
  EXPECT_TRUE(subject.expect_right(expected, 0));
}

TEST(PackedCache, WhatCannotBeWrittenIsSaidAndTheModelLoads) {
  Subject subject(small_model());
  const std::vector<float> expected = subject.logits(subject.load(nullptr));
  const fs::path folder = subject.place_.file.parent_path();

  struct rlimit old {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t bytes : {0u, 100u, 3u << 20}) {  // a full disk, as far as one can be had without being root
    struct rlimit small = old;
    small.rlim_cur = bytes;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const bool served = subject.expect_right(expected, 1);
    ::setrlimit(RLIMIT_FSIZE, &old);
    EXPECT_FALSE(served);
    EXPECT_TRUE(fs::is_empty(folder)) << "a piece of a cache was left";
  }
  std::signal(SIGXFSZ, before);

  subject.place_.make_room = [](int64_t bytes) {
    EXPECT_GT(bytes, 1000);
    return false;
  };
  EXPECT_FALSE(subject.expect_right(expected, 0));
  EXPECT_TRUE(fs::is_empty(folder));
  subject.place_.make_room = [](int64_t) -> bool { fail(ErrorCode::kIoError, "no folder"); };
  EXPECT_FALSE(subject.expect_right(expected, 1));
  subject.place_.make_room = {};
  fs::create_directory(subject.place_.file);
  EXPECT_FALSE(subject.expect_right(expected, 1));
  fs::remove(subject.place_.file);
  subject.place_.file = folder / "absent" / "model.pack";
  EXPECT_FALSE(subject.expect_right(expected, 1));
}

TEST(PackedCache, ManyWriteOneAtOnce) {
  Subject first(small_model());
  const std::vector<float> expected = first.logits(first.load(nullptr));
  std::vector<std::unique_ptr<Subject>> subjects;
  for (int i = 0; i < 4; ++i) {
    subjects.push_back(std::make_unique<Subject>(small_model()));
    subjects.back()->place_.file = first.place_.file;
  }
  std::vector<std::vector<float>> logits(subjects.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < subjects.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        if (i == 0) fs::remove(first.place_.file);
        logits[i] = subjects[i]->logits(subjects[i]->load());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < subjects.size(); ++i) {
    EXPECT_TRUE(same_bits(logits[i], expected));
    EXPECT_TRUE(subjects[i]->said_.empty()) << subjects[i]->said_.front();
  }
  EXPECT_TRUE(first.expect_right(expected, 0));
  for (const auto& entry : fs::directory_iterator(first.place_.file.parent_path())) {
    EXPECT_EQ(entry.path(), first.place_.file) << "a temporary file was left";
  }
}

TEST(PackedCache, SectionsBeginAtTwoMebibytes) {
  Subject subject(small_model());
  subject.load();
  const PackedCacheFile file(subject.place_.file, "the key");
  EXPECT_EQ(file.find("model.embed_tokens.weight")->offset % (2 << 20), 0);
  EXPECT_EQ(file.find("model.layers.0.self_attn.q_proj.weight")->offset % (2 << 20), 0);
  EXPECT_EQ(file.find("model.layers.1.self_attn.q_proj.weight")->offset % (2 << 20), 0);
  EXPECT_EQ(file.find("model.layers.1.mlp.up_proj.weight")->offset % 4096, 0);
  EXPECT_EQ(file.find("model.layers.1"), nullptr);
  EXPECT_ERROR(PackedCacheFile(subject.place_.file, "k"), ErrorCode::kHashMismatch, "other options");
  EXPECT_ERROR(PackedCacheFile(subject.place_.file.parent_path() / "x", "k"), ErrorCode::kNotFound, "x");
}

TEST(PackedCache, ProgressIsToldWithinALargeMatrixAndMayCancel) {
  Subject subject(small_model());
  subject.load();
  const Checkpoint checkpoint = Checkpoint::open(small_model(), {.config = true, .weights = true});
  const ModelDescription description = describe_model(checkpoint);
  Runtime runtime(1);
  for (const PackedCachePlace* place :
       {static_cast<const PackedCachePlace*>(nullptr), &std::as_const(subject.place_)}) {
    int64_t last = 0, all = 0;
    size_t calls = 0;
    const auto tell = [&](int64_t done, int64_t total) {
      EXPECT_GE(done, last);
      EXPECT_LE(done, total);
      last = done, all = total;
      ++calls;
    };
    Decoder::load(runtime.backend("cpu"), checkpoint, description, tell, {}, place);
    EXPECT_EQ(last, all);
    EXPECT_GT(calls, description.tensors.size());
    const auto cancel = [](int64_t, int64_t) { throw Error(ErrorCode::kCancelled, "interrupted"); };
    EXPECT_ERROR(Decoder::load(runtime.backend("cpu"), checkpoint, description, cancel, {}, place),
                 ErrorCode::kCancelled, "interrupted");
  }
}

}  // namespace
}  // namespace duet::test
