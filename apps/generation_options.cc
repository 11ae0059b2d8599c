#include "apps/generation_options.h"

#include <cmath>
#include <random>

namespace duet {
namespace {

/// A finite number within [low, high], or within (low, high].
CLI::Validator number_within(double low, double high, bool low_included = true) {
  const std::string legal = fmt::format("{} {} to {}", low_included ? "from" : "above", low, high);
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        double value = 0;
        const bool good = CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value <= high &&
                          (low_included ? value >= low : value > low);
        return good ? "" : fmt::format("'{}' is not a number {}", text, legal);
      },
      "");
}

}  // namespace

void add_session_options(CLI::App& command, SessionOptions& options, bool context) {
  command.add_option("--threads", options.threads, "threads (default: the cores that this process may use)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command.add_option("--backend", options.backend, "cpu (default), or ref: plain and slow, the specification")
      ->check(CLI::IsMember({"cpu", "ref", "deferred"}))
      ->type_name("NAME");
  command.add_option("--activations", options.activations, "f32 (default); native is not supported yet")
      ->check(CLI::IsMember({"f32", "native"}))
      ->type_name("MODE");
  if (!context) return;
  command
      .add_option("--ctx", options.context_tokens,
                  "tokens that prompt and answer may have together (default: the model's own)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N");
}

void add_sampling_options(CLI::App& command, SamplingOptions& options) {
  command
      .add_option("-n,--max-tokens", options.max_new_tokens,
                  "end the answer after N tokens (default: no limit but the context)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N");
  command.add_option("--temperature", options.temperature, "0 = always the likeliest token")
      ->check(number_within(0, 100))
      ->type_name("T");
  command.add_option("--top-k", options.top_k, "choose among the K likeliest tokens; 0 = all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31))
      ->type_name("K");
  command
      .add_option("--top-p", options.top_p, "choose among the likeliest tokens that have P of the probability together")
      ->check(number_within(0, 1, false))
      ->type_name("P");
  command.add_option("--min-p", options.min_p, "leave out tokens below P times the likeliest one's probability")
      ->check(number_within(0, 1))
      ->type_name("P");
  command
      .add_option("--repeat-penalty", options.repetition_penalty, "above 1: what was said already becomes less likely")
      ->check(number_within(0, 100, false))
      ->type_name("R");
  command.add_option("--seed", options.seed, "the same seed gives the same answer (default: another each time)")
      ->type_name("S");
  command.add_option("--stop", options.stop_strings, "end the answer before this text; may be given more than once")
      ->type_name("TEXT")
      ->allow_extra_args(false);
}

SamplingParams SamplingOptions::over(SamplingParams defaults) const {
  SamplingParams params = defaults;
  params.temperature = temperature.value_or(defaults.temperature);
  params.top_k = top_k.value_or(defaults.top_k);
  params.top_p = top_p.value_or(defaults.top_p);
  params.min_p = min_p.value_or(defaults.min_p);
  params.repetition_penalty = repetition_penalty.value_or(defaults.repetition_penalty);
  std::random_device random;
  params.seed = seed ? *seed : (static_cast<uint64_t>(random()) << 32 | random());
  return params;
}

}  // namespace duet
