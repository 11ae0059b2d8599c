// Time of one sampled token, by method, on logits of a normal distribution (standard deviation 3).
//   sampler_bench [--vocabulary N]
#include <fmt/core.h>

#include <random>
#include <vector>

#include "bench/support.h"
#include "engine/sampler.h"

namespace {

using duet::SamplingParams;
using duet::TokenId;

double milliseconds(const SamplingParams& params, const std::vector<float>& logits,
                    const std::vector<TokenId>& history) {
  constexpr int kRounds = 31;
  std::vector<double> times;
  std::vector<float> row;
  for (int i = 0; i < kRounds; ++i) {
    row = logits;
    const double begin = duet::bench::now();
    duet::sample(row, params, {.history = history, .prompt_tokens = 100, .position = i});
    times.push_back(1e3 * (duet::bench::now() - begin));
  }
  return duet::bench::median(times);
}

void run(int vocabulary) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  for (float& logit : logits) logit = normal(random);
  std::vector<TokenId> history(4096);
  for (TokenId& id : history) id = TokenId{static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary))};
  const auto print = [&](const char* name, const SamplingParams& params) {
    fmt::print("{:<32} {:8.3f} ms\n", name, milliseconds(params, logits, history));
  };
  fmt::print("{} tokens, one thread, median of 31\n", vocabulary);
  print("greedy", {});
  print("top-k 20, top-p 0.95", {.temperature = 0.7f, .top_k = 20, .top_p = 0.95f});
  print("top-k 1000", {.temperature = 0.7f, .top_k = 1000});
  print("top-p 0.95", {.temperature = 0.7f, .top_p = 0.95f});
  print("min-p 0.05", {.temperature = 0.7f, .min_p = 0.05f});
  print("typical-p 0.9", {.temperature = 0.7f, .typical_p = 0.9f});
  print("temperature 1", {.temperature = 1.0f});
  print("XTC", {.temperature = 1.0f, .xtc_probability = 1.0f});
  print("greedy, repeat-penalty 1.1", {.repetition_penalty = 1.1f});
  print("greedy, frequency-penalty 0.5", {.frequency_penalty = 0.5f});
  print("greedy, DRY", {.dry_multiplier = 0.8f});
  const double begin = duet::bench::now();
  for (int i = 0; i < 10; ++i) duet::token_logprobs(logits, TokenId{5}, 20);
  fmt::print("{:<32} {:8.3f} ms\n", "logprobs, 20 alternatives", 100 * (duet::bench::now() - begin));
}

}  // namespace

int main(int argc, char** argv) {
  int vocabulary = 151936;
  duet::bench::Program app("time of one sampled token, by method", "sampler_bench");
  app.add_option("--vocabulary", vocabulary, "tokens to choose from")->check(CLI::Range(21, 1 << 24));
  return app.main(argc, argv, [&] { run(vocabulary); });
}
