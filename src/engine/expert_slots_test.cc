// Experts that do not all lie in memory: the same bits as with all of them there, whatever lies where.
#include "model/expert_slots.h"

#include <gtest/gtest.h>

#include <fstream>

#include "model/footprint.h"
#include "tests/compare.h"
#include "tests/model_golden.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

const char* const kMixtures[] = {
    "qwen3moe", "qwen3moe-mixed", "llama4-scout", "llama4-maverick", "llama4-behemoth-like", "qwen3next", "qwen35-moe"};
const char* const kBackends[] = {"ref", "deferred", "cpu"};

/// The most experts that a mixture of the model has, and that a token takes.
MoeFfn widest_mixture(const ModelSpec& spec) {
  MoeFfn widest;
  for (const LayerSpec& layer : spec.layers) {
    const auto* moe = std::get_if<MoeFfn>(&layer.ffn);
    if (moe != nullptr && moe->experts > widest.experts) widest = *moe;
  }
  return widest;
}

struct Mixture {
  explicit Mixture(const fs::path& path) {
    checkpoint = Checkpoint::open(path, {.config = true, .weights = true});
    description = describe_model(checkpoint);
    place.file = temporary_folder() / "experts.pack";
    place.key = "key";
  }
  std::shared_ptr<const Decoder> load(Backend& backend, const DecoderOptions& options) {
    return Decoder::load(backend, checkpoint, description, {}, options, options.expert_slots > 0 ? &place : nullptr);
  }
  Checkpoint checkpoint;
  ModelDescription description;
  PackedCachePlace place;
};

std::vector<std::vector<TokenId>> prompts_of(const fs::path& folder) { return read_prompts(folder / "ids.json"); }

class ExpertSlotsLaw : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(ExpertSlotsLaw, AnyNumberOfSlotsGivesTheSameBits) {
  const fs::path folder = golden(std::string("text/") + std::get<0>(GetParam()));
  Mixture mixture(folder);
  const MoeFfn moe = widest_mixture(mixture.description.spec);
  ASSERT_GT(moe.experts, 1);
  auto prompts = prompts_of(folder);
  for (const Activations activations : {Activations::kF32, Activations::kNative}) {
    Runtime runtime(2);
    Backend& backend = runtime.backend(std::get<1>(GetParam()));
    DecoderOptions options{.activations = activations, .mtp = true};
    const auto resident = mixture.load(backend, options);
    EXPECT_FALSE(resident->expert_stats().has_value());
    Engine plain(resident);
    const Scores expected = score_all(plain, prompts, true, resident->has_mtp());
    const std::vector<TokenId> answer = greedy(plain, prompts.front(), 8);
    for (const int64_t slots : {int64_t{1}, moe.top_k, moe.experts - 1, moe.experts}) {
      SCOPED_TRACE(testing::Message() << slots << " slots");
      options.expert_slots = slots;
      const auto decoder = mixture.load(backend, options);
      EXPECT_EQ(decoder->weight_bytes(), weight_parts(mixture.description, true, slots).total());
      if (!resident->has_mtp()) {
        EXPECT_EQ(decoder->weight_work().bytes, resident->weight_work().bytes);
      }
      Engine engine(decoder);
      const Scores scores = score_all(engine, prompts, true, decoder->has_mtp());
      EXPECT_TRUE(same_bits(scores.logits, expected.logits));
      EXPECT_TRUE(same_bits(scores.mtp_logits, expected.mtp_logits));
      for (size_t i = 0; i < expected.hidden.size(); ++i) EXPECT_TRUE(same_bits(scores.hidden[i], expected.hidden[i]));
      EXPECT_EQ(greedy(engine, prompts.front(), 8), answer);
      const ExpertStats stats = *decoder->expert_stats();
      EXPECT_GT(stats.uses, 0);
      EXPECT_GT(stats.reads, 0);
      EXPECT_LE(stats.reads, stats.uses);
      EXPECT_GT(stats.read_bytes, stats.reads);
      if (slots == moe.experts) {  // each is read once
        int64_t all = 0;
        for (const LayerSpec& layer : mixture.description.spec.layers) {
          if (const auto* one = std::get_if<MoeFfn>(&layer.ffn)) all += one->experts;
        }
        if (mixture.description.spec.mtp) all += moe.experts;
        EXPECT_LE(stats.reads, all);
        EXPECT_GT(stats.hit_rate(), 0.1);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Mixtures, ExpertSlotsLaw,
                         testing::Combine(testing::ValuesIn(kMixtures), testing::ValuesIn(kBackends)),
                         [](const auto& tested) {
                           std::string name = std::string(std::get<0>(tested.param)) + "_" + std::get<1>(tested.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(ExpertSlots, GgufAndQuantisedExpertsToo) {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(golden("gguf"))) {
    if (entry.path().extension() == ".gguf") paths.push_back(entry.path());
  }
  const fs::path formats = assets("golden/weight_formats");
  for (const fs::directory_entry& entry :
       fs::recursive_directory_iterator(formats.empty() ? golden("weight_formats") : formats)) {
    if (entry.path().filename() == "model.safetensors") paths.push_back(entry.path().parent_path());
  }
  size_t mixtures = 0;
  for (const fs::path& path : paths) {
    SCOPED_TRACE(path.string());
    Mixture mixture(path);
    if (widest_mixture(mixture.description.spec).experts == 0) continue;
    ++mixtures;
    Runtime runtime(2);
    Backend& backend = runtime.backend("cpu");
    Engine plain(mixture.load(backend, {.activations = Activations::kNative}));
    Engine slotted(mixture.load(backend, {.activations = Activations::kNative, .expert_slots = 2}));
    const std::vector<std::vector<TokenId>> prompts = {{TokenId{3}, TokenId{1}, TokenId{4}, TokenId{1}, TokenId{5}}};
    EXPECT_TRUE(same_bits(score_all(slotted, prompts, false).logits, score_all(plain, prompts, false).logits));
  }
  EXPECT_GE(mixtures, 4u);
}

/// Everything behind the index stands as `byte`, until the old bytes are put back.
class Damage {
 public:
  explicit Damage(const fs::path& path) : path_(path), whole_(read_file(path)) {}
  /// In place: the file stays the one that is open.
  void flip_weights(const PackedCacheFile& file, const std::string& like) const {
    std::fstream out(path_, std::ios::binary | std::ios::in | std::ios::out);
    for (int64_t e = 0; e < 64; ++e) {
      const PackedEntry* entry = file.find(fmt::format(fmt::runtime(like), e));
      if (entry == nullptr) continue;
      out.seekp(entry->offset);
      out.put(static_cast<char>(whole_[static_cast<size_t>(entry->offset)] ^ 1));
    }
  }
  void cut() const { fs::resize_file(path_, 4096); }
  void mend() const { std::ofstream(path_, std::ios::binary | std::ios::trunc) << whole_; }

 private:
  fs::path path_;
  std::string whole_;
};

TEST(ExpertSlots, AReadThatFailsEndsTheStepAndNothingElse) {
  const fs::path folder = golden("text/qwen3moe");
  for (const char* backend : kBackends) {
    SCOPED_TRACE(backend);
    Mixture mixture(folder);
    Runtime runtime(2);
    const auto decoder = mixture.load(runtime.backend(backend), {.expert_slots = 3});
    const Damage damage(mixture.place.file);
    const PackedCacheFile file(mixture.place.file, "key");
    Engine engine(decoder);
    const std::vector<TokenId> prompt = {TokenId{7}, TokenId{8}, TokenId{9}};
    const std::vector<TokenId> expected = greedy(engine, prompt, 6);
    const std::vector<TokenId> other = {TokenId{100}, TokenId{33}, TokenId{250}, TokenId{17}, TokenId{400}};
    const auto score = [&] { engine.score(other, [](int64_t, int64_t, std::span<const float>) {}); };

    damage.flip_weights(file, "model.layers.1.mlp.experts.{}.down_proj.weight");
    EXPECT_ERROR(greedy(engine, other, 6), ErrorCode::kHashMismatch, "damaged");
    EXPECT_TRUE(engine.idle());
    EXPECT_ERROR(score(), ErrorCode::kHashMismatch, "damaged");
    damage.mend();
    EXPECT_EQ(greedy(engine, prompt, 6), expected);
    damage.cut();
    EXPECT_ERROR(greedy(engine, other, 6), ErrorCode::kTruncated, "experts.pack");
    EXPECT_TRUE(engine.idle());
    damage.mend();
    score();
    EXPECT_EQ(greedy(engine, prompt, 6), expected);
  }
}

TEST(ExpertSlots, SpeculationWithExpertsOnDiskGivesTheSameText) {
  const fs::path folder = golden("text/qwen35-moe");
  Mixture mixture(folder);
  Runtime runtime(2);
  Backend& backend = runtime.backend("cpu");
  const auto prompts = prompts_of(folder);
  Engine plain(mixture.load(backend, {}));
  Engine drafting(mixture.load(backend, {.mtp = true, .expert_slots = 2}),
                  {.speculation = {.drafter = Drafter::kMtp, .always = true}});
  for (const auto& prompt : prompts) EXPECT_EQ(greedy(drafting, prompt, 20), greedy(plain, prompt, 20));
}

TEST(ExpertSlots, NeedACacheThatCanBeWritten) {
  Mixture mixture(golden("text/qwen3moe"));
  Runtime runtime(1);
  Backend& backend = runtime.backend("cpu");
  EXPECT_ERROR(Decoder::load(backend, mixture.checkpoint, mixture.description, {}, {.expert_slots = 2}, nullptr),
               ErrorCode::kIoError, "packed cache");
  mixture.place.make_room = [](int64_t) { return false; };
  EXPECT_ERROR(mixture.load(backend, {.expert_slots = 2}), ErrorCode::kIoError, "could not be written");
  mixture.place.make_room = {};
  mixture.place.file = temporary_folder() / "absent" / "x.pack";
  EXPECT_ERROR(mixture.load(backend, {.expert_slots = 2}), ErrorCode::kIoError, "could not be written");
}

TEST(ExpertSlots, FollowFromTheMemoryThatIsGranted) {
  const Mixture mixture(golden("text/qwen3moe"));
  const ModelDescription& model = mixture.description;
  const auto experts = [&](int64_t slots) { return weight_parts(model, false, slots).total(); };
  const int64_t one = experts(2) - experts(1), all = 8 * one;  // of both layers
  EXPECT_EQ(experts(8), experts(0));
  EXPECT_EQ(expert_slots_for(model, 3 * one, false), 3);
  EXPECT_EQ(expert_slots_for(model, 4 * one - 1, false), 3);
  EXPECT_EQ(expert_slots_for(model, 7 * one, false), 7);
  EXPECT_EQ(expert_slots_for(model, all - 1, false), 7);
  EXPECT_EQ(expert_slots_for(model, all, false), 0);
  EXPECT_EQ(expert_slots_for(model, INT64_MAX, false), 0);
  for (const int64_t bytes : {int64_t{-1}, int64_t{0}, int64_t{1}, 3 * one - 1}) {
    EXPECT_ERROR(expert_slots_for(model, bytes, false), ErrorCode::kBadValue, std::to_string(3 * one));
  }
  const Checkpoint dense = Checkpoint::open(golden("text/qwen3-dense"), {.config = true, .weights = true});
  EXPECT_ERROR(expert_slots_for(describe_model(dense), 1 << 30, false), ErrorCode::kUnsupportedFeature, "no experts");
}

}  // namespace
}  // namespace duet::test
