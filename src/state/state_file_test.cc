#include "state/state_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "backend/backend.h"
#include "backend/runtime.h"
#include "base/checksum.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

const StateFields kFields = {{"model hash", "0123456789abcdef"}, {"in the store", ""}};
const StateLimits kLimits{.vocabulary = 100, .context_tokens = 1000};

/// Full, windowed and recurrent layers; every byte of what is kept has a value of its own.
class Subject {
 public:
  explicit Subject(int64_t length = 150, int64_t snapshot = 90) {
    KvLayerLayout windowed{DType::kBF16, 1, 8};
    windowed.window = 70;
    layout = StateLayout({KvLayerLayout{DType::kBF16, 2, 8}, windowed, DeltaLayerLayout{1, 2, 8, 8, 4, {0, 0}}});
    state = std::make_unique<SequenceState>(*device, layout);
    if (snapshot > 0) {
      go_to(snapshot);
      state->snapshot();
    }
    go_to(length);
    for (int64_t i = 0; i < length + 1; ++i) tokens.push_back(TokenId{static_cast<int32_t>(i * 7 % 100)});
  }
  void go_to(int64_t length) {
    state->reserve(length);
    uint32_t seed = static_cast<uint32_t>(length);
    const auto fill = [&](std::byte* data, int64_t bytes) {
      for (int64_t i = 0; i < bytes; ++i) {
        data[i] = static_cast<std::byte>((seed = seed * 1664525u + 1013904223u) >> 24);
      }
    };
    for (const int64_t layer : {0, 1}) {
      for (std::byte* page : state->pages(layer)) {
        if (page != nullptr) {
          fill(page, std::get<KvLayerLayout>(layout.layers()[static_cast<size_t>(layer)]).page_bytes());
        }
      }
    }
    fill(state->recurrent(2), layout.recurrent_bytes());
    const int64_t anchor = DeltaView::earliest_restart(length);
    std::memcpy(state->recurrent(2) + DeltaView::anchor_at(), &anchor, sizeof anchor);
    state->advance_to(length);
  }
  fs::path write(const StateFields& fields = kFields) const {
    OutputFile file(path);
    write_state(file, fields, tokens, *device, layout, *state);
    file.commit();
    return path;
  }
  SavedState read(const StateFields& fields = kFields, const StateLimits& limits = kLimits) const {
    return read_state(*open_file(path), fields, *device, layout, limits);
  }
  SavedState read_bytes(std::string_view bytes) const {
    const auto file = memory_source("a.state", std::as_bytes(std::span(bytes)));
    return read_state(*file, kFields, *device, layout, kLimits);
  }
  /// All that a state shows, as bytes.
  std::string image(const SequenceState& of) const {
    std::string out = std::to_string(of.length_tokens());
    for (const int64_t layer : {0, 1}) {
      const int64_t bytes = std::get<KvLayerLayout>(layout.layers()[static_cast<size_t>(layer)]).page_bytes();
      for (std::byte* page : of.pages(layer)) {
        out += page == nullptr ? "-" : std::string(reinterpret_cast<const char*>(page), static_cast<size_t>(bytes));
      }
    }
    return out.append(reinterpret_cast<const char*>(of.recurrent(2)), static_cast<size_t>(layout.recurrent_bytes()));
  }

  const fs::path path = temporary_folder() / "a.state";
  std::unique_ptr<Backend> device = make_ref_backend();
  StateLayout layout;
  std::unique_ptr<SequenceState> state;
  std::vector<TokenId> tokens;
};

TEST(StateFile, GivesBackWhatWasWritten) {
  for (const int64_t length : {1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200}) {
    SCOPED_TRACE(length);
    const Subject subject(length, length > 1 ? length / 2 : 0);
    subject.write();
    const SavedState saved = subject.read();
    EXPECT_EQ(saved.tokens, subject.tokens);
    EXPECT_EQ(subject.image(*saved.state), subject.image(*subject.state));
    EXPECT_EQ(saved.state->bytes(), subject.state->bytes()) << "what snapshots share is shared again";
    // Both go back to the same places.
    for (const int64_t position : {length - 1, length / 2 + 3, length / 2, int64_t{5}}) {
      const auto one = subject.state->fork(), other = saved.state->fork();
      EXPECT_EQ(one->trim(position), other->trim(position)) << position;
      if (one->length_tokens() == 0) continue;
      EXPECT_EQ(subject.image(*one), subject.image(*other)) << position;
    }
    const auto names = fs::directory_iterator(subject.path.parent_path());
    EXPECT_EQ(std::distance(begin(names), end(names)), 1) << "no temporary file is left";
  }
}

TEST(StateFile, AReadStateIsItsOwn) {
  const Subject subject;
  subject.write();
  const SavedState saved = subject.read();
  std::byte* const page = saved.state->pages(0)[2];
  saved.state->reserve(151);
  EXPECT_EQ(saved.state->pages(0)[2], page) << "nobody shares it";
}

TEST(StateFile, NamesTheFieldThatDiffersAndBothValues) {
  Subject subject;
  subject.write({{"model hash", "0123456789abcdef"}, {"in the store", "sha256-aa"}});
  EXPECT_NO_THROW(subject.read()) << "a hash that one side lacks is not compared";
  EXPECT_ERROR(subject.read({{"in the store", "sha256-bb"}}), ErrorCode::kBadValue,
               "a.state: field 'in the store' is 'sha256-aa', here it is 'sha256-bb'");
  EXPECT_ERROR(subject.read({{"model hash", "fedcba9876543210"}}), ErrorCode::kBadValue, "fedcba9876543210");
  EXPECT_ERROR(subject.read({{"arithmetic", "cpu 1"}}), ErrorCode::kMissingKey,
               "a.state: lacks the field 'arithmetic'");
  EXPECT_ERROR(subject.read(kFields, {.vocabulary = 50, .context_tokens = 1000}), ErrorCode::kBadValue,
               "a.state: token 8 is 56, wanted: 0 to 49");
  EXPECT_ERROR(subject.read(kFields, {.vocabulary = 100, .context_tokens = 100}), ErrorCode::kContextOverflow,
               "a.state: has 151 tokens, the context holds 100");
  const auto with = [&](const LayerLayout& first) {
    std::vector<LayerLayout> layers = subject.layout.layers();
    layers[0] = first;
    subject.layout = StateLayout(layers);
  };
  std::vector<LayerLayout> q8 = {KvLayerLayout{DType::kQ8_0, 2, 32}};
  with(KvLayerLayout{DType::kBF16, 2, 16});
  EXPECT_ERROR(subject.read(), ErrorCode::kBadValue, "a.state: field 'layers' is '2 of attention, 1 of Gated DeltaNet");
  subject.layout = StateLayout(q8);
  EXPECT_ERROR(subject.read(), ErrorCode::kBadValue, "a.state: field 'KV type' is 'bf16', here it is 'q8_0'");
}

TEST(StateFile, EveryCutAndEveryFlippedByteIsAnError) {
  const Subject subject(70, 20);
  subject.write();
  const std::string whole = read_file(subject.path);
  ASSERT_GT(whole.size(), 4000u);
  const auto expect_refused = [&](const std::string& bytes, size_t at) {
    try {
      subject.read_bytes(bytes);
      ADD_FAILURE() << "read all the same, changed at " << at;
    } catch (const Error& error) {
      EXPECT_TRUE(error.message().starts_with("a.state: ")) << error.message();
    }
  };
  // Head and index byte by byte, the sections in steps: each of their bytes stands below the same checksum.
  const size_t index = whole.size() - 900;
  for (size_t at = 0; at < whole.size(); at += at < 100 || at > index ? 1 : 37) {
    for (const int bit : {0, 7}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      expect_refused(changed, at);
    }
    expect_refused(whole.substr(0, at), at);
  }
  expect_refused(whole + "x", whole.size());
  EXPECT_EQ(subject.image(*subject.read_bytes(whole).state), subject.image(*subject.state));
}

/// Numbers that no checksum speaks against: what is written by intent.
TEST(StateFile, SealedNonsenseIsAnErrorAsWell) {
  const Subject subject(70, 20);
  subject.write();
  const std::string whole = read_file(subject.path);
  const auto number = [](const std::string& bytes, size_t at) {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  const uint64_t index_at = number(whole, 16);
  int refused = 0, read = 0;
  for (size_t at = index_at; at + 4 <= whole.size(); ++at) {
    for (const uint32_t value : {0u, 1u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
      std::string changed = whole;
      std::memcpy(changed.data() + at, &value, sizeof value);
      const auto seal = [&](size_t begin, size_t count, size_t to) {
        const uint64_t sum = checksum64(std::as_bytes(std::span(changed).subspan(begin, count)));
        std::memcpy(changed.data() + to, &sum, sizeof sum);
      };
      seal(index_at, changed.size() - index_at, 32);
      seal(0, 48, 48);
      try {
        const SavedState saved = subject.read_bytes(changed);
        EXPECT_LE(saved.state->length_tokens(), static_cast<int64_t>(saved.tokens.size()));
        EXPECT_EQ(saved.state->bytes(), subject.state->bytes()) << "at " << at << ": " << value;
        ++read;  // a field that is not compared, a token, the place to go back to
      } catch (const Error& error) {
        EXPECT_TRUE(error.message().starts_with("a.state: ")) << error.message();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_LT(read, refused);
  // An anchor that the kernels could not go on from.
  const auto bad_anchor = std::make_unique<Subject>(70, 0);
  for (const int64_t anchor : {int64_t{-16}, int64_t{3}, int64_t{16}, int64_t{80}, int64_t{1} << 62}) {
    std::memcpy(bad_anchor->state->recurrent(2) + DeltaView::anchor_at(), &anchor, sizeof anchor);
    bad_anchor->write();
    EXPECT_ERROR(bad_anchor->read(), ErrorCode::kBadValue, "a.state: the anchor of layer 2 is");
  }
}

TEST(StateFile, OtherFilesAndVersionsAreNamed) {
  const Subject subject;
  subject.write();
  std::string bytes = read_file(subject.path);
  bytes[8] = 2;
  EXPECT_ERROR(subject.read_bytes(bytes), ErrorCode::kUnsupportedVersion, "a.state: has version 2, this duet reads 1");
  EXPECT_ERROR(subject.read_bytes(std::string(100, 'G')), ErrorCode::kBadMagic,
               "a.state: begins with 'GGGGGGGG', a state file with 'DUETSTAT'");
  EXPECT_ERROR(subject.read_bytes("DUET"), ErrorCode::kTruncated,
               "a.state: the file ends inside the head of a state file");
}

}  // namespace
}  // namespace duet::test
