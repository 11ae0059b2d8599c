#include "model/families/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace duet {
namespace {

constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;

double ramp(double low, double high, double i) { return std::clamp((i - low) / (high - low), 0.0, 1.0); }

}  // namespace

RopeSpec plain_rope(int64_t dims, double theta) {
  RopeSpec rope{.dims = dims};
  for (int64_t i = 0; i < dims; i += 2) {
    const float power = std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dims));
    rope.inv_freq.push_back(1.0f / power);
  }
  return rope;
}

RopeSpec llama3_rope(int64_t dims, double theta, const Llama3Scaling& scaling) {
  RopeSpec rope = plain_rope(dims, theta);
  const double original = static_cast<double>(scaling.original_context_tokens);
  for (float& f : rope.inv_freq) {
    const double wavelength = 2 * std::numbers::pi / static_cast<double>(f);
    if (wavelength > original / scaling.low_freq_factor) {
      f = static_cast<float>(static_cast<double>(f) / scaling.factor);
    } else if (wavelength >= original / scaling.high_freq_factor) {
      // Here high > low: with equal factors one of the other two branches has been taken.
      const double smooth =
          (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      const double frequency = static_cast<double>(f);
      f = static_cast<float>(std::isfinite(smooth) ? (1 - smooth) * frequency / scaling.factor + smooth * frequency
                                                   : frequency);
    }
  }
  return rope;
}

RopeSpec yarn_rope(int64_t dims, double theta, const YarnScaling& scaling) {
  RopeSpec rope = plain_rope(dims, theta);
  const double width = static_cast<double>(dims);
  const auto correction = [&](double rotations) {
    return width * std::log(static_cast<double>(scaling.original_context_tokens) / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(theta));
  };
  double low = correction(scaling.beta_fast), high = correction(scaling.beta_slow);
  if (scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, width - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < rope.inv_freq.size(); ++i) {
    const double f = static_cast<double>(rope.inv_freq[i]), r = ramp(low, high, static_cast<double>(i));
    rope.inv_freq[i] = static_cast<float>(f / scaling.factor * r + f * (1 - r));
  }
  rope.factor = static_cast<float>(scaling.attention_factor.value_or(0.1 * std::log(scaling.factor) + 1));
  return rope;
}

RopeSpec hf_rope(Fields& config, int64_t dims, int64_t context_tokens, double default_theta,
                 std::initializer_list<std::string_view> beside) {
  const Json* parameters = config.raw("rope_parameters");
  const Json* scaling = config.raw("rope_scaling");
  const std::string key = parameters != nullptr ? "rope_parameters" : "rope_scaling";
  if (parameters != nullptr) scaling = parameters;
  std::optional<double> theta = config.number("rope_theta", 0, kMaxTheta);
  if (scaling == nullptr) return plain_rope(dims, theta.value_or(default_theta));
  if (!scaling->is_object()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {}, an object is wanted", config.file(), config.name(key),
         scaling->kind_name());
  }
  Fields fields = Fields::of_json(*scaling, config.file(), config.name(key) + ".");
  fields.ignore(beside);
  if (const auto own = fields.number("rope_theta", 0, kMaxTheta)) theta = own;
  const double base = theta.value_or(default_theta);
  const std::optional<std::string> old_type = fields.string("type");
  const std::optional<std::string> type = fields.has("rope_type") ? fields.string("rope_type") : old_type;
  if (!type) fail(ErrorCode::kMissingKey, "{}: the key {} is missing", config.file(), fields.name("rope_type"));

  RopeSpec rope;
  if (*type == "default") {
    rope = plain_rope(dims, base);
  } else if (*type == "linear") {
    rope = plain_rope(dims, base);
    const double factor = fields.require_number("factor", 0, kMaxFactor);
    for (float& f : rope.inv_freq) f = static_cast<float>(static_cast<double>(f) / factor);
  } else if (*type == "llama3") {
    Llama3Scaling s{};
    s.factor = fields.require_number("factor", 0, kMaxFactor);
    s.low_freq_factor = fields.require_number("low_freq_factor", 0, kMaxFactor);
    s.high_freq_factor = fields.require_number("high_freq_factor", 0, kMaxFactor);
    s.original_context_tokens = fields.require_integer("original_max_position_embeddings", 1, kMaxContext);
    if (s.high_freq_factor < s.low_freq_factor) {
      fields.fail_value("high_freq_factor", fmt::format("{}", s.high_freq_factor),
                        fmt::format("at least low_freq_factor, {}", s.low_freq_factor));
    }
    rope = llama3_rope(dims, base, s);
  } else if (*type == "yarn") {
    YarnScaling s{};
    s.factor = fields.require_number("factor", 0, kMaxFactor);
    s.original_context_tokens =
        fields.integer("original_max_position_embeddings", 1, kMaxContext).value_or(context_tokens);
    s.beta_fast = fields.number("beta_fast", 0, 1e6).value_or(s.beta_fast);
    s.beta_slow = fields.number("beta_slow", 0, 1e6).value_or(s.beta_slow);
    s.attention_factor = fields.number("attention_factor", 0, kMaxFactor);
    s.truncate = fields.boolean("truncate").value_or(true);
    if (!s.attention_factor) {
      const auto mscale = fields.number("mscale", 0, 1e6), mscale_all = fields.number("mscale_all_dim", 0, 1e6);
      const auto get = [&](double m) { return s.factor <= 1 ? 1.0 : 0.1 * m * std::log(s.factor) + 1; };
      if (mscale && mscale_all) s.attention_factor = get(*mscale) / get(*mscale_all);
    }
    rope = yarn_rope(dims, base, s);
  } else {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is '{}', known are default, linear, llama3, yarn", config.file(),
         fields.name("rope_type"), printable(*type));
  }
  if (const auto stray = fields.stray(); !stray.empty()) {
    fail(ErrorCode::kUnsupportedFeature, "{}: the key {} is not known for rope type {}", config.file(),
         printable(stray.front()), *type);
  }
  return rope;
}

RopeSpec gguf_rope(Fields& metadata, int64_t dims, int64_t context_tokens, std::span<const float> divisors) {
  const double theta = metadata.number("rope.freq_base", 0, kMaxTheta).value_or(10000.0);
  const std::string type = metadata.string("rope.scaling.type").value_or("none");
  RopeSpec rope;
  if (type == "none") {
    rope = plain_rope(dims, theta);
  } else if (type == "linear") {
    rope = plain_rope(dims, theta);
    const double factor = metadata.require_number("rope.scaling.factor", 0, kMaxFactor);
    for (float& f : rope.inv_freq) f = static_cast<float>(static_cast<double>(f) / factor);
  } else if (type == "yarn") {
    YarnScaling s{};
    s.factor = metadata.require_number("rope.scaling.factor", 0, kMaxFactor);
    s.original_context_tokens =
        metadata.integer("rope.scaling.original_context_length", 1, kMaxContext).value_or(context_tokens);
    s.beta_fast = metadata.number("rope.scaling.yarn_beta_fast", 0, 1e6).value_or(s.beta_fast);
    s.beta_slow = metadata.number("rope.scaling.yarn_beta_slow", 0, 1e6).value_or(s.beta_slow);
    // The configuration's attention_factor, as llama.cpp's converter writes it; libllama does not read it.
    s.attention_factor = metadata.number("rope.scaling.yarn_attn_factor", 0, kMaxFactor);
    if (const auto share = metadata.number("rope.scaling.yarn_ext_factor", -kMaxFactor, kMaxFactor);
        share && *share >= 0 && *share != 1) {  // below 0: not set
      fail(ErrorCode::kUnsupportedFeature, "{}: {} is {}, known is 1", metadata.file(),
           metadata.name("rope.scaling.yarn_ext_factor"), *share);
    }
    rope = yarn_rope(dims, theta, s);
    // Beside it, as in libllama (llama-context.cpp): one more factor.
    rope.factor *= static_cast<float>(metadata.number("rope.scaling.attn_factor", 0, kMaxFactor).value_or(1));
  } else {
    fail(ErrorCode::kUnsupportedFeature, "{}: {} is '{}', known are none, linear, yarn", metadata.file(),
         metadata.name("rope.scaling.type"), printable(type));
  }
  metadata.ignore({"rope.scaling.finetuned"});
  for (size_t i = 0; i < divisors.size(); ++i) {
    rope.inv_freq[i] = static_cast<float>(static_cast<double>(rope.inv_freq[i]) / static_cast<double>(divisors[i]));
  }
  return rope;
}

}  // namespace duet
