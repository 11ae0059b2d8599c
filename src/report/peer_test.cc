#include "report/peer.h"

#include <sys/stat.h>

#include <fstream>

#include "tests/support.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

constexpr SpeedPlan kPlan{.prompt_tokens = 512, .answer_tokens = 48};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 1; i < words.size(); ++i) text += (i > 1 ? " " : "") + words[i];
  return text;
}

class PeerTest : public testing::Test {
 protected:
  /// A program that is a shell script.
  void program(const std::string& name, const std::string& script) {
    fs::create_directories(folder / "bin");
    const fs::path path = folder / "bin" / name;
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    ::chmod(path.c_str(), 0755);
  }
  Peer peer(const std::string& name) { return parse_peer(name + "=" + folder.string()); }
  fs::path folder = test::temporary_folder() / "peer";
};

TEST_F(PeerTest, IsNameAndFolder) {
  EXPECT_ERROR(parse_peer("llama.cpp"), ErrorCode::kUsageError, "ik_llama.cpp=FOLDER");
  EXPECT_ERROR(parse_peer("llama.cpp="), ErrorCode::kUsageError, "llama.cpp=");
  EXPECT_ERROR(parse_peer("other=/"), ErrorCode::kUsageError, "other");
  EXPECT_ERROR(parse_peer("llama.cpp=/nowhere"), ErrorCode::kNotFound, "llama-bench in /nowhere");
  program("llama-bench", "exit 0");
  EXPECT_EQ(peer("ik_llama.cpp").name, "ik_llama.cpp");
}

TEST_F(PeerTest, CommandsFitThePeerAndThePlan) {
  program("llama-bench", "");
  const auto all = [&](const char* name, const SpeedPlan& plan) {
    std::string text;
    for (const PeerCommand& command : peer_commands(peer(name), "m.gguf", plan, 2)) {
      text += fmt::format("{} reads {} writes {}\n", joined(command.words), command.reads, command.writes);
    }
    return text;
  };
  EXPECT_EQ(all("llama.cpp", kPlan), "-m m.gguf -t 2 -r 1 -p 512 -n 48 -o json reads true writes true\n");
  EXPECT_EQ(all("ik_llama.cpp", kPlan),
            "-m m.gguf -t 2 -r 1 -p 512 -n 48 -fa 1 -rtr 1 -fmoe 1 -o json reads true writes true\n");
  SpeedPlan deep = kPlan;
  deep.depth_tokens = 100;
  EXPECT_EQ(all("llama.cpp", deep), "-m m.gguf -t 2 -r 1 -p 512 -n 48 -d 100 -o json reads true writes true\n");
  EXPECT_EQ(all("ik_llama.cpp", deep),
            "-m m.gguf -t 2 -r 1 -p 0 -n 0 -gp 100,48 -fa 1 -rtr 1 -fmoe 1 -o json reads false writes true\n");
  SpeedPlan several = kPlan;
  several.sequences = 4;
  EXPECT_ERROR(all("llama.cpp", several), ErrorCode::kNotFound, "llama-batched-bench");
  program("llama-batched-bench", "");
  EXPECT_EQ(all("llama.cpp", several),
            "-m m.gguf -t 2 -r 1 -p 512 -n 0 -o json reads true writes false\n"
            "-m m.gguf -t 2 -npp 1 -ntg 48 -npl 4 -c 196 reads false writes true\n");
}

TEST(PeerOutput, FiguresOfLlamaBench) {
  const SpeedSample sample = read_llama_bench(
      "running on CPU\n[\n {\"n_prompt\": 512, \"n_gen\": 0, \"avg_ts\": 123.5, \"samples_ts\": [123.5]},\n"
      " {\"n_prompt\": 0, \"n_gen\": 48, \"avg_ts\": 20}\n]\n",
      kPlan);
  EXPECT_EQ(sample.reading, 123.5);
  EXPECT_EQ(sample.writing, 20);
  const SpeedSample other = read_llama_bench(R"([{"n_prompt": 5, "n_gen": 0, "avg_ts": 1}])", kPlan);
  EXPECT_EQ(other.reading, 0) << "another length";
  SpeedPlan deep = kPlan;
  deep.depth_tokens = 7;
  EXPECT_EQ(read_llama_bench(R"([{"n_prompt": 7, "n_gen": 48, "avg_ts": 9}])", deep).writing, 9);
  EXPECT_ERROR(read_llama_bench("usage: ...", kPlan), ErrorCode::kBadJson, "no JSON");
  EXPECT_ERROR(read_llama_bench("[{]", kPlan), ErrorCode::kBadJson, "llama-bench");
  EXPECT_ERROR(read_llama_bench("[{}]", kPlan), ErrorCode::kMissingKey, "avg_ts");
}

TEST(PeerOutput, FiguresOfBatchedBench) {
  const std::string table =
      "main: n_kv_max = 400\n\n|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n"
      "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n"
      "|   128 |     48 |    4 |    704 |    2.000 |   256.00 |    2.500 |    76.80 |    4.500 |   156.44 |\n\n";
  SpeedPlan plan = kPlan;
  plan.sequences = 4;
  EXPECT_EQ(read_batched_bench(table, plan).writing, 76.8);
  plan.sequences = 8;
  EXPECT_ERROR(read_batched_bench(table, plan), ErrorCode::kMissingKey, "8 sequences");
}

TEST_F(PeerTest, IsMeasuredAndItsFailuresNameIt) {
  program("llama-bench",
          "echo warning >&2\n"
          R"(echo '[{"n_prompt": 512, "n_gen": 0, "avg_ts": 100}, {"n_prompt": 0, "n_gen": 48, "avg_ts": 10}]')");
  PeerSubject subject(peer("llama.cpp"), "m.gguf", kPlan, 2);
  subject.warm_up({});
  EXPECT_EQ(subject.measure(0, {}).reading, 100);
  EXPECT_EQ(subject.measure(1, {}).writing, 10);
  program("llama-bench", "echo much\necho 'cannot load m.gguf' >&2\nexit 3");
  EXPECT_ERROR(subject.measure(0, {}), ErrorCode::kIoError, "llama-bench ended with status 3: cannot load m.gguf");
  program("llama-bench", "echo '[]'");
  EXPECT_ERROR(subject.measure(0, {}), ErrorCode::kIoError, "did not measure");
  program("llama-bench", "echo hello");
  EXPECT_ERROR(subject.measure(0, {}), ErrorCode::kIoError, "hello");
  program("llama-bench", "exec sleep 60");
  EXPECT_ERROR(subject.measure(0, [] { return true; }), ErrorCode::kCancelled, "interrupted");
}

}  // namespace
}  // namespace duet
