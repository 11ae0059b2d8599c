#include "engine/sampling_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <variant>

#include "base/error.h"
#include "engine/sampler.h"

namespace duet {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();

using Member = std::variant<float SamplingParams::*, int64_t SamplingParams::*, uint64_t SamplingParams::*>;

/// What a field is, beside its name.
struct Range {
  Member member;
  double low, high;
  bool low_included = true;

  bool holds(double value) const { return (low_included ? value >= low : value > low) && value <= high; }
};

using P = SamplingParams;

constexpr std::array kFields = {
    SamplingField{"temperature", "T", "0 = always the likeliest token; 1 = as the model has it; above: more various",
                  "0 to 10000"},
    SamplingField{"top-k", "K", "choose among the K likeliest tokens; 0 = all", "0 (all) or more"},
    SamplingField{"top-p", "P", "choose among the likeliest tokens that have P of the probability together",
                  "above 0, at most 1"},
    SamplingField{"min-p", "P", "leave out tokens below P times the likeliest one's probability", "0 to 1"},
    SamplingField{"typical-p", "P",
                  "choose among the tokens, P of the probability together, that are as surprising as is usual here",
                  "above 0, at most 1"},
    SamplingField{"xtc-probability", "P", "how often XTC leaves out the likeliest tokens but the last of them",
                  "0 to 1"},
    SamplingField{"xtc-threshold", "P", "tokens of at least this probability are likeliest ones for XTC (default: 0.1)",
                  "0 to 1"},
    SamplingField{"repeat-penalty", "R", "above 1: what prompt or answer hold already becomes less likely",
                  "above 0, at most 10000"},
    SamplingField{"presence-penalty", "X", "taken off the logit of each token that the answer holds already",
                  "-100 to 100"},
    SamplingField{"frequency-penalty", "X", "taken off the logit of a token for each time that the answer holds it",
                  "-100 to 100"},
    SamplingField{"dry-multiplier", "M", "how strongly DRY works against repeated sequences; 0 = not at all",
                  "0 to 10000"},
    SamplingField{"dry-base", "B", "by how much DRY's penalty grows with each repeated token (default: 1.75)",
                  "1 to 10000"},
    SamplingField{"dry-allowed-length", "N", "repetitions shorter than N tokens are none for DRY (default: 2)",
                  "1 or more"},
    SamplingField{"seed", "S", "the same seed gives the same answer (default: another each time)",
                  "0 to 18446744073709551615"},
};

constexpr std::array<Range, kFields.size()> kRanges = {{
    {&P::temperature, 0, 1e4},
    {&P::top_k, 0, kAny},
    {&P::top_p, 0, 1, false},
    {&P::min_p, 0, 1},
    {&P::typical_p, 0, 1, false},
    {&P::xtc_probability, 0, 1},
    {&P::xtc_threshold, 0, 1},
    {&P::repetition_penalty, 0, 1e4, false},
    {&P::presence_penalty, -100, 100},
    {&P::frequency_penalty, -100, 100},
    {&P::dry_multiplier, 0, 1e4},
    {&P::dry_base, 1, 1e4},
    {&P::dry_allowed_length, 1, kAny},
    {&P::seed, 0, kAny},
}};

/// "top_p" is "top-p", and the penalty has its name in the files of the models as well.
size_t find_field(std::string_view name) {
  std::string wanted(name);
  std::replace(wanted.begin(), wanted.end(), '_', '-');
  if (wanted == "repetition-penalty") wanted = "repeat-penalty";
  std::string known;
  for (size_t i = 0; i < kFields.size(); ++i) {
    if (kFields[i].name == wanted) return i;
    known += fmt::format("{}{}", i == 0 ? "" : ", ", kFields[i].name);
  }
  fail(ErrorCode::kBadValue, "sampling: there is no field '{}', there are {}", printable(name), known);
}

/// std::nullopt: not a number of this kind, or one that it cannot hold.
template <typename T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::span<const SamplingField> sampling_fields() { return kFields; }

void set_sampling_field(SamplingParams& params, std::string_view name, std::string_view text) {
  const size_t index = find_field(name);
  const Range& range = kRanges[index];
  const auto refuse = [&] {
    fail(ErrorCode::kBadValue, "sampling: {} is '{}', legal: {}", kFields[index].name, printable(text),
         kFields[index].legal);
  };
  std::visit(
      [&](auto member) {
        using T = std::decay_t<decltype(params.*member)>;
        using Read = std::conditional_t<std::is_same_v<T, float>, double, T>;
        const std::optional<Read> value = parse<Read>(text);
        // Judged once more as it is kept: a number above 0 may be 0 as a float.
        if (!value || !range.holds(static_cast<double>(*value)) ||
            !range.holds(static_cast<double>(static_cast<T>(*value)))) {
          refuse();
        }
        params.*member = static_cast<T>(*value);
      },
      range.member);
}

std::string sampling_field_text(const SamplingParams& params, std::string_view name) {
  return std::visit([&](auto member) { return fmt::format("{}", params.*member); }, kRanges[find_field(name)].member);
}

void check_sampling(const SamplingParams& params, int64_t vocabulary) {
  for (size_t i = 0; i < kFields.size(); ++i) {
    std::visit(
        [&](auto member) {
          if (kRanges[i].holds(static_cast<double>(params.*member))) return;  // NaN is not held
          fail(ErrorCode::kBadValue, "sampling: {} is {}, legal: {}", kFields[i].name, params.*member,
               kFields[i].legal);
        },
        kRanges[i].member);
  }
  const auto check_id = [&](TokenId id, std::string_view where) {
    if (vocabulary > 0 && (to_int(id) < 0 || to_int(id) >= vocabulary)) {
      fail(ErrorCode::kBadValue, "sampling: {} names token id {}, legal: 0 to {}", where, to_int(id), vocabulary - 1);
    }
  };
  for (const auto& [id, bias] : params.logit_bias) {
    check_id(id, "logit-bias");
    if (!std::isfinite(bias)) {
      fail(ErrorCode::kBadValue, "sampling: logit-bias of token id {} is {}, legal: any finite number", to_int(id),
           bias);
    }
  }
  for (const auto& breaker : params.dry_breakers) {
    if (breaker.empty()) fail(ErrorCode::kBadValue, "sampling: a dry-breaker is empty, legal: at least one token");
    for (const TokenId id : breaker) check_id(id, "dry-breaker");
  }
}

}  // namespace duet
