#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/noise.h"
#include "engine/penalties.h"

namespace duet {
namespace {

struct Candidate {
  int32_t id;
  double logit;         // scaled by the temperature
  double weight = 0.0;  // exp(logit - the largest one), once weigh() was called
};

bool better(const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

/// The `count` largest logits, in no order; ties by id. One pass over the pieces that can have any of them, with a
/// buffer that is cut back when it is full.   logits [V], count 1 to V
std::vector<Candidate> largest(std::span<const float> logits, const LogitScan& scan, size_t count) {
  const float reached = scan.reached_by(count);
  std::vector<Candidate> best;
  const size_t room = std::min(logits.size(), 2 * count + 64);
  best.reserve(room);
  double threshold = -std::numeric_limits<double>::infinity();
  const auto cut = [&] {
    if (best.size() <= count) return;
    std::nth_element(best.begin(), best.begin() + static_cast<int64_t>(count - 1), best.end(), better);
    best.resize(count);
    threshold = best.back().logit;  // of equal logits the later ids lose, so only what is larger gets in
  };
  for (size_t piece = 0; piece < scan.pieces(); ++piece) {
    if (scan.largest(piece) < reached || static_cast<double>(scan.largest(piece)) <= threshold) continue;
    for (size_t i = LogitScan::begin_of(piece); i < scan.end_of(piece); ++i) {
      const auto logit = static_cast<double>(logits[i]);
      if (logits[i] < reached || logit <= threshold) continue;
      best.push_back({static_cast<int32_t>(i), logit});
      if (best.size() == room) cut();
    }
  }
  cut();
  return best;
}

/// The tokens that are still to choose from.
class KeptSet {
 public:
  /// All tokens whose scaled logit is at most `reach` below the largest one.
  KeptSet(std::span<const float> logits, const LogitScan& scan, float temperature, double reach) {
    const auto scaled = [divisor = static_cast<double>(temperature)](float logit) {
      return static_cast<double>(logit) / divisor;
    };
    const double least = scaled(scan.largest()) - reach;
    const auto within = [&](size_t piece) { return scaled(scan.largest(piece)) >= least; };
    size_t room = 0;
    for (size_t piece = 0; piece < scan.pieces(); ++piece) room += within(piece) ? LogitScan::kPiece : 0;
    kept_.reserve(room);
    for (size_t piece = 0; piece < scan.pieces(); ++piece) {
      if (!within(piece)) continue;
      for (size_t i = LogitScan::begin_of(piece); i < scan.end_of(piece); ++i) {
        if (!(scaled(logits[i]) < least)) kept_.push_back({static_cast<int32_t>(i), scaled(logits[i])});
      }
    }
  }
  /// The `count` largest ones.
  KeptSet(std::span<const float> logits, const LogitScan& scan, float temperature, size_t count)
      : kept_(largest(logits, scan, count)) {
    for (Candidate& c : kept_) c.logit /= static_cast<double>(temperature);
  }

  /// The smallest set of most likely tokens whose share reaches `mass`.
  void top_p(double mass) {
    weigh();
    // Together the tokens below this weight have at most half of the share that is left out: none of them is in the
    // set.
    const double least = 0.5 * (1 - mass) * total_ / static_cast<double>(kept_.size());
    std::erase_if(kept_, [&](const Candidate& c) { return c.weight < least; });
    kept_.resize(count_until(mass, better));
  }

  /// Tokens that have at least `share` of the likeliest one's probability.
  void min_p(double share) {
    const double best = likeliest().logit, least = best + std::log(share);
    std::erase_if(kept_, [&](const Candidate& c) { return c.logit < least && c.logit != best; });
  }

  /// The smallest set of tokens whose share reaches `mass` and whose -log p is closest to its mean, the entropy; tokens
  /// as close as the last of them stay too.
  void typical(double mass) {
    weigh();
    double entropy = 0;
    for (const Candidate& c : kept_) {
      if (c.weight > 0) entropy += c.weight / total_ * surprise(c);
    }
    const auto distance = [&](const Candidate& c) { return std::abs(surprise(c) - entropy); };
    const size_t count = count_until(mass, [&](const Candidate& a, const Candidate& b) {
      const double left = distance(a), right = distance(b);
      return left != right ? left < right : a.id < b.id;
    });
    const double furthest = distance(kept_[count - 1]);
    std::erase_if(kept_, [&](const Candidate& c) { return distance(c) > furthest; });
  }

  /// Of the tokens that have at least `threshold` of the probability only the least likely one stays.
  void exclude_top(double threshold) {
    weigh();
    const auto top = [&](const Candidate& c) { return c.weight >= threshold * total_; };
    const Candidate* last = nullptr;
    for (const Candidate& c : kept_) {
      if (top(c) && (last == nullptr || better(*last, c))) last = &c;
    }
    if (last == nullptr) return;
    const int32_t stays = last->id;
    std::erase_if(kept_, [&](const Candidate& c) { return top(c) && c.id != stays; });
  }

  /// A draw from the softmax of the kept logits.
  TokenId draw(const NoisePlace& place) const {
    const auto noisy = [&](const Candidate& c, uint64_t bits) { return Candidate{c.id, c.logit + gumbel_of(bits)}; };
    const Candidate& first = likeliest();
    Candidate chosen = noisy(first, noise_bits(place, NoisePurpose::kToken, static_cast<uint32_t>(first.id)));
    for (const Candidate& c : kept_) {
      const double missing = chosen.logit - c.logit;
      if (missing > kMaxGumbel) continue;
      const uint64_t bits = noise_bits(place, NoisePurpose::kToken, static_cast<uint32_t>(c.id));
      // -log(-log u) <= -log(1 - u), so noise of n log 2 needs 1 - u <= 2^-n: seen in the bits, without a logarithm.
      const double halvings = missing * 1.4426950408889634 - 1e-6;
      if (halvings >= 1 && (uint64_t{1} << 53) - bits > uint64_t{1} << (53 - static_cast<int>(halvings))) continue;
      if (const Candidate rival = noisy(c, bits); better(rival, chosen)) chosen = rival;
    }
    return TokenId{chosen.id};
  }

 private:
  const Candidate& likeliest() const { return *std::min_element(kept_.begin(), kept_.end(), better); }

  void weigh() {
    best_ = likeliest().logit;
    total_ = 0;
    for (Candidate& c : kept_) total_ += c.weight = std::exp(c.logit - best_);
    log_total_ = std::log(total_);
  }
  double surprise(const Candidate& c) const { return log_total_ - (c.logit - best_); }

  /// Sorts as many tokens to the front, by `before`, as are needed for `mass` of the weight; returns how many.
  template <typename Before>
  size_t count_until(double mass, Before before) {
    double sum = 0;
    for (size_t sorted = 0, count = 0; sorted < kept_.size();) {
      const size_t more = std::min(std::max<size_t>(64, 3 * sorted), kept_.size() - sorted);
      const auto begin = kept_.begin() + static_cast<int64_t>(sorted), end = begin + static_cast<int64_t>(more);
      if (end != kept_.end()) std::nth_element(begin, end, kept_.end(), before);
      std::sort(begin, end, before);
      for (sorted += more; count < sorted;) {
        sum += kept_[count++].weight;
        if (sum >= mass * total_) return count;
      }
    }
    return kept_.size();
  }

  std::vector<Candidate> kept_;
  double best_ = 0, total_ = 0, log_total_ = 0;
};

}  // namespace

bool all_finite(std::span<const float> values) { return LogitScan(values).finite(); }

TokenId argmax(std::span<const float> logits) { return LogitScan(logits).argmax(logits); }

TokenId sample(std::span<float> logits, const SamplingParams& params, const SamplingPlace& place) {
  return sample(logits, LogitScan(logits), params, place);
}

TokenId sample(std::span<float> logits, LogitScan scan, const SamplingParams& params, const SamplingPlace& place) {
  if (has_penalties(params)) {
    apply_penalties(logits, place.history, place.prompt_tokens, params);
    scan.scan(logits, 0, 1);
  }
  if (params.temperature == 0.0f || params.top_k == 1) return scan.argmax(logits);

  const bool xtc = params.xtc_probability > 0.0f && params.xtc_threshold <= 0.5f;
  // Where no step looks at the whole distribution, what is out of reach of the draw need not be looked at.
  const bool whole = params.top_p < 1.0f || params.typical_p < 1.0f || xtc;
  double reach = whole ? INFINITY : kMaxGumbel - kMinGumbel;
  if (!whole && params.min_p > 0.0f) reach = std::min(reach, 1 - std::log(static_cast<double>(params.min_p)));
  const bool select = params.top_k > 0 && params.top_k < static_cast<int64_t>(logits.size());
  KeptSet kept = select ? KeptSet(logits, scan, params.temperature, static_cast<size_t>(params.top_k))
                        : KeptSet(logits, scan, params.temperature, reach);
  const NoisePlace noise{params.seed, place.choice, place.position};
  if (params.top_p < 1.0f) kept.top_p(static_cast<double>(params.top_p));
  if (params.min_p > 0.0f) kept.min_p(static_cast<double>(params.min_p));
  if (params.typical_p < 1.0f) kept.typical(static_cast<double>(params.typical_p));
  if (xtc && uniform_of(noise_bits(noise, NoisePurpose::kXtc, 0)) < static_cast<double>(params.xtc_probability)) {
    kept.exclude_top(static_cast<double>(params.xtc_threshold));
  }
  return kept.draw(noise);
}

TokenLogprobs token_logprobs(std::span<const float> logits, TokenId chosen, int64_t alternatives) {
  return token_logprobs(logits, LogitScan(logits), chosen, alternatives);
}

TokenLogprobs token_logprobs(std::span<const float> logits, const LogitScan& scan, TokenId chosen,
                             int64_t alternatives) {
  const auto best = static_cast<double>(scan.largest());
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - best);
  const double log_total = std::log(total);
  const auto logprob = [&](double logit) {
    return static_cast<float>(std::max(logit - best - log_total, double{std::numeric_limits<float>::lowest()}));
  };
  TokenLogprobs result;
  result.chosen = logprob(static_cast<double>(logits[static_cast<size_t>(to_int(chosen))]));
  if (alternatives <= 0) return result;
  auto top = largest(logits, scan, std::min(static_cast<size_t>(alternatives), logits.size()));
  std::sort(top.begin(), top.end(), better);
  for (const Candidate& c : top) result.alternatives.push_back({TokenId{c.id}, logprob(c.logit)});
  return result;
}

}  // namespace duet
