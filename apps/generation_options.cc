#include "apps/generation_options.h"

#include <charconv>
#include <cmath>
#include <random>

#include "base/byte_size.h"
#include "engine/sampling_fields.h"

namespace duet {
namespace {

/// What `parse` throws for a text is what the option says.
template <typename Parse>
CLI::Validator judged_by(Parse parse) {
  return CLI::Validator(
      [parse](std::string& text) -> std::string {
        try {
          parse(text);
        } catch (const Error& error) {
          return error.message();
        }
        return {};
      },
      "");
}

/// "ID=VALUE" or "TEXT=VALUE"; digits in double quotes are a text.
struct Bias {
  std::optional<TokenId> id;
  std::string text;
  float value = 0.0f;
};
Bias parse_bias(std::string_view typed) {
  const auto refuse = [&] {
    fail(ErrorCode::kBadValue, "'{}' is no bias, legal: ID=VALUE or TEXT=VALUE, VALUE any finite number",
         printable(typed));
  };
  const size_t equals = typed.rfind('=');
  if (equals == std::string_view::npos || equals == 0) refuse();
  std::string_view left = typed.substr(0, equals);
  const std::string_view right = typed.substr(equals + 1);
  Bias bias;
  const auto [end, code] = std::from_chars(right.data(), right.data() + right.size(), bias.value);
  if (code != std::errc() || end != right.data() + right.size() || !std::isfinite(bias.value)) refuse();
  if (left.find_first_not_of("0123456789") == std::string_view::npos) {
    int32_t id = 0;
    if (std::from_chars(left.data(), left.data() + left.size(), id).ec != std::errc()) refuse();
    bias.id = TokenId{id};
    return bias;
  }
  if (left.size() > 2 && left.front() == '"' && left.back() == '"') left = left.substr(1, left.size() - 2);
  bias.text = left;
  return bias;
}

void check_breaker(std::string_view text) {
  if (text.empty() || text.size() > SamplingTexts::kMaxBreakerBytes) {
    fail(ErrorCode::kBadValue, "a breaker of {} bytes, legal: 1 to {}", text.size(), SamplingTexts::kMaxBreakerBytes);
  }
}

}  // namespace

void add_session_options(CLI::App& command, SessionOptions& options, bool context) {
  command.add_option("--threads", options.threads, "threads (default: the cores that this process may use)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command.add_option("--backend", options.backend, "cpu (default), or ref: plain and slow, the specification")
      ->check(CLI::IsMember({"cpu", "ref", "deferred"}))
      ->type_name("NAME");
  command
      .add_option("--activations", options.activations,
                  fmt::format("f32: exact products; native: activations rounded to 8 bits, faster; auto: native for\n"
                              "models of 256 MB and more (default: {})",
                              options.activations))
      ->check(CLI::IsMember({"auto", "f32", "native"}))
      ->type_name("MODE");
  command
      .add_option("--kv-type", options.kv_type,
                  "how keys and values of the context are kept: f32 (default), f16, bf16 (half the memory) or q8_0")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0"}))
      ->type_name("TYPE");
  if (!context) return;
  command
      .add_option("--ctx,--context", options.context_tokens,
                  "tokens that prompt and answer may have together (default: the model's own)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N");
}

void add_packed_cache_option(CLI::App& command, SessionOptions& options) {
  command.add_flag(
      "--packed-cache", options.packed_cache,
      "keep the weights on disk as this machine multiplies with them, and start from there the next time;\n"
      "takes about the model's size again (duet cache)");
}

void add_expert_memory_option(CLI::App& command, SessionOptions& options) {
  constexpr const char* kName = "--expert-memory";
  command
      .add_option_function<std::string>(
          kName, [&options](const std::string& text) { options.expert_memory_bytes = parse_byte_size(kName, text); },
          "memory for the experts of a mixture, as 4GiB; the others are read from the packed cache when they are\n"
          "chosen (it takes about the model's size on disk). Changes the speed and never the text")
      ->check(judged_by([](std::string_view text) { parse_byte_size(kName, text); }))
      ->type_name("SIZE");
}

void add_speculation_options(CLI::App& command, SessionOptions& options) {
  command
      .add_option("--speculate", options.speculate,
                  "let tokens be drafted and confirmed together, which changes the speed and never the text:\n"
                  "off (default), ngram (what followed a like place in the text), mtp (the model's own head), or a\n"
                  "smaller model with the same vocabulary; rests by itself where it does not pay")
      ->type_name("off|ngram|mtp|MODEL");
  command.add_option("--draft-tokens", options.draft_tokens, "tokens that are drafted at once (default: 4)")
      ->check(CLI::Range(int64_t{1}, int64_t{16}))
      ->type_name("N");
}

std::optional<SyntheticOptions> SyntheticArguments::options() const {
  if (!wanted && layers > 0) fail(ErrorCode::kUsageError, "--layers goes with --synthetic");
  if (!wanted) return std::nullopt;
  SyntheticOptions synthetic{.seed = seed};
  if (layers > 0) synthetic.layers = layers;
  return synthetic;
}

void add_synthetic_options(CLI::App& command, SyntheticArguments& arguments) {
  CLI::Option* const synthetic = command.add_flag_function(
      "--synthetic{0}",
      [&arguments](int64_t seed) {
        arguments.wanted = true;
        arguments.seed = static_cast<uint64_t>(seed);
      },
      "MODEL is a config.json or its folder; the weights are random numbers of this seed (--synthetic=SEED)");
  command.add_option("--layers", arguments.layers, "with --synthetic: only the first N layers")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->type_name("N")
      ->needs(synthetic);
}

void add_sampling_options(CLI::App& command, SamplingOptions& options, std::string_view most_tokens) {
  command
      .add_option("-n,--max-tokens", options.max_new_tokens,
                  fmt::format("end the answer after N tokens (default: {})", most_tokens))
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N");
  for (const SamplingField& field : sampling_fields()) {
    const std::string name(field.name);
    command
        .add_option_function<std::string>(
            name == "repeat-penalty" ? "--repeat-penalty,--repetition-penalty" : fmt::format("--{}", name),
            [&options, name](const std::string& text) { options.fields.emplace_back(name, text); },
            std::string(field.help))
        ->check(judged_by([name](std::string_view text) {
          SamplingParams params;
          set_sampling_field(params, name, text);
        }))
        ->type_name(std::string(field.value));
  }
  command
      .add_option("--dry-breaker", options.breakers,
                  "no repetition that DRY sees reaches across this text; may be given more than once\n"
                  "(default: newline : \" *); none = no such text")
      ->check(judged_by(check_breaker))
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command
      .add_option("--logit-bias", options.biases,
                  "add VALUE to the logit of the token ID, or of each token of TEXT (\"42\" in quotes is a text);\n"
                  "may be given more than once")
      ->check(judged_by(parse_bias))
      ->type_name("ID=VALUE|TEXT=VALUE")
      ->allow_extra_args(false);
  command.add_option("--stop", options.stop_strings, "end the answer before this text; may be given more than once")
      ->type_name("TEXT")
      ->allow_extra_args(false);
}

SamplingParams SamplingOptions::over(SamplingParams defaults) const {
  SamplingParams params = std::move(defaults);
  std::random_device random;
  params.seed = static_cast<uint64_t>(random()) << 32 | random();
  for (const auto& [name, text] : fields) set_sampling_field(params, name, text);
  for (const std::string& typed : biases) {
    if (const Bias bias = parse_bias(typed); bias.id) params.logit_bias.emplace_back(*bias.id, bias.value);
  }
  return params;
}

SamplingTexts SamplingOptions::texts() const {
  SamplingTexts texts;
  if (!breakers.empty()) texts.dry_breakers.clear();
  for (const std::string& text : breakers) {
    if (text != "none") texts.dry_breakers.push_back(text);
  }
  for (const std::string& typed : biases) {
    if (Bias bias = parse_bias(typed); !bias.id) texts.logit_bias.emplace_back(std::move(bias.text), bias.value);
  }
  return texts;
}

void print_sampling_warnings(LoadedModel& model) {
  for (const std::string& warning : model.generation_config().warnings) {
    fmt::print(stderr, "duet: warning: {}\n", warning);
  }
}

}  // namespace duet
