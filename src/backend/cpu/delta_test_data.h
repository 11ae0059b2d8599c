#pragma once

// What the tests of Gated DeltaNet share: dimensions, states, seeded tokens, and what lies between a layer's
// projections.

#include <map>
#include <utility>

#include "backend/cpu/test_data.h"

namespace duet::test {

struct DeltaDims {
  int64_t key_heads = 2, value_heads = 4, key_dim = 16, value_dim = 16, conv_width = 4;
  bool tiled = false;                // value head h reads key head h mod Hk, else h / r
  std::vector<int32_t> others = {};  // unless it reads the key head that stands here

  std::vector<int32_t> key_head() const {
    if (!others.empty()) return others;
    std::vector<int32_t> map;
    for (int64_t h = 0; h < value_heads; ++h) {
      map.push_back(static_cast<int32_t>(tiled ? h % key_heads : h / (value_heads / key_heads)));
    }
    return map;
  }
};

inline std::string to_string(const DeltaDims& d) {
  return "Hk " + std::to_string(d.key_heads) + " Hv " + std::to_string(d.value_heads) + " Dk " +
         std::to_string(d.key_dim) + " Dv " + std::to_string(d.value_dim) + " width " + std::to_string(d.conv_width) +
         (d.tiled ? " tiled" : "");
}

/// States of several sequences in host memory, filled with `fill`: 0xFF makes every float a NaN.
class DeltaStates {
 public:
  DeltaStates(const DeltaDims& dims, int64_t sequences, int fill) : key_head_(dims.key_head()) {
    view_.key_heads = dims.key_heads;
    view_.value_heads = dims.value_heads;
    view_.key_dim = dims.key_dim;
    view_.value_dim = dims.value_dim;
    view_.conv_width = dims.conv_width;
    view_.key_head_of_value_head = key_head_;
    const auto words = static_cast<size_t>(view_.state_bytes() / 8);
    memory_.resize(static_cast<size_t>(sequences) * words);
    std::memset(memory_.data(), fill, memory_.size() * 8);
    for (int64_t s = 0; s < sequences; ++s) {
      states_.push_back(reinterpret_cast<std::byte*>(memory_.data() + static_cast<size_t>(s) * words));
    }
    view_.states = states_;
  }
  DeltaStates(const DeltaStates&) = delete;
  DeltaStates& operator=(const DeltaStates&) = delete;

  const DeltaView& view() const { return view_; }
  /// The bytes of all, and other ones in their place.
  std::vector<float> floats() const {
    std::vector<float> all(memory_.size() * 2);
    std::memcpy(all.data(), memory_.data(), memory_.size() * 8);
    return all;
  }
  void set_floats(const std::vector<float>& all) const {
    for (size_t s = 0; s < states_.size(); ++s) {
      const auto bytes = static_cast<size_t>(view_.state_bytes());
      std::memcpy(states_[s], reinterpret_cast<const std::byte*>(all.data()) + s * bytes, bytes);
    }
  }
  void copy(int64_t from, int64_t to) {
    std::memcpy(states_[static_cast<size_t>(to)], states_[static_cast<size_t>(from)],
                static_cast<size_t>(view_.state_bytes()));
  }

 private:
  std::vector<int32_t> key_head_;
  std::vector<int64_t> memory_;
  std::vector<std::byte*> states_;
  DeltaView view_;
};

/// What enters a layer for one token; `which` tells a sequence's own tokens from wrong drafts.
struct DeltaToken {
  std::vector<float> x, a, b, z;

  DeltaToken(const DeltaDims& d, int64_t text, int64_t position, uint32_t which = 0) {
    const auto seed = static_cast<uint32_t>(text * 100003 + position * 17) + which * 7919U + 1;
    x = random_floats(2 * d.key_heads * d.key_dim + d.value_heads * d.value_dim, seed);
    a = random_floats(d.value_heads, seed + 1, 2.0f);
    b = random_floats(d.value_heads, seed + 2, 2.0f);
    z = random_floats(d.value_heads * d.value_dim, seed + 3);
  }
};

struct DeltaWeights {
  std::vector<float> conv, decay, dt_bias, norm;

  explicit DeltaWeights(const DeltaDims& d) {
    const int64_t channels = 2 * d.key_heads * d.key_dim + d.value_heads * d.value_dim;
    conv = random_floats(channels * d.conv_width, 11, 0.5f);
    decay = random_floats(d.value_heads, 12);
    for (float& x : decay) x = -std::exp(x);
    dt_bias = random_floats(d.value_heads, 13);
    norm = random_floats(d.value_dim, 14);
  }
};

/// A row of a batch: a token of text `text` that enters sequence `sequence` at a position.
struct DeltaRow {
  int64_t sequence, text, position;
  uint32_t which = 0;
};

/// Rows [begin, end) of a text that is also its sequence.
inline std::vector<DeltaRow> delta_rows(int64_t begin, int64_t end, int64_t sequence = 0) {
  std::vector<DeltaRow> rows;
  for (int64_t p = begin; p < end; ++p) rows.push_back({sequence, sequence, p});
  return rows;
}

/// What a step of a layer is given.
class DeltaInputs {
 public:
  /// `certain_end` by sequence, the end of its rows where it says nothing.
  DeltaInputs(const DeltaDims& dims, const DeltaStates& states, const std::vector<DeltaRow>& batch,
              const std::map<int64_t, int64_t>& certain_end = {})
      : delta_(states.view()), weights_(dims), certain_(delta_.states.size(), -1) {
    for (const DeltaRow& row : batch) {
      const DeltaToken token(dims, row.text, row.position, row.which);
      x_.insert(x_.end(), token.x.begin(), token.x.end());
      a_.insert(a_.end(), token.a.begin(), token.a.end());
      b_.insert(b_.end(), token.b.begin(), token.b.end());
      z_.insert(z_.end(), token.z.begin(), token.z.end());
      sequence_.push_back(static_cast<int32_t>(row.sequence));
      position_.push_back(static_cast<int32_t>(row.position));
      certain_[static_cast<size_t>(row.sequence)] = static_cast<int32_t>(row.position + 1);
    }
    for (const auto& [s, end] : certain_end) certain_[static_cast<size_t>(s)] = static_cast<int32_t>(end);
    g_ = a_, beta_ = b_, qkv_ = x_;
    const int64_t heads = delta_.value_heads, rows = this->rows();
    input_ = {view(x_, Shape{rows, delta_.channels()}), view(z_, Shape{rows, width()}), view(g_, Shape{rows, heads}),
              view(beta_, Shape{rows, heads}), view(qkv_, Shape{rows, delta_.channels()})};
    steps_.conv = view(weights_.conv, Shape{delta_.channels(), dims.conv_width});
    steps_.decay = view(weights_.decay, Shape{heads});
    steps_.dt_bias = view(weights_.dt_bias, Shape{heads});
    steps_.norm = view(weights_.norm, Shape{dims.value_dim});
    steps_.query_scale = 1.0f / std::sqrt(static_cast<float>(dims.key_dim));
    steps_.l2_eps = steps_.norm_eps = 1e-6f;
  }
  DeltaInputs(const DeltaInputs&) = delete;
  DeltaInputs& operator=(const DeltaInputs&) = delete;

  int64_t rows() const { return static_cast<int64_t>(sequence_.size()); }
  int64_t width() const { return delta_.value_heads * delta_.value_dim; }

  /// The output [rows, Hv Dv], by the backend's delta_mix() or by what every backend has.
  std::vector<float> mix(Backend& backend, bool at_once) {
    renew();
    std::vector<float> y(z_.size(), NAN);
    const Tensor out = view(y, Shape{rows(), delta_.value_heads, delta_.value_dim});
    const RowPlaces places = {sequence_, position_};
    if (at_once) {
      backend.delta_mix(input_, steps_, delta_, places, certain_, out);
    } else {
      backend.Backend::delta_mix(input_, steps_, delta_, places, certain_, out);
    }
    return y;
  }
  /// The same by the single ops, with what comes before the gated norm.
  std::pair<std::vector<float>, std::vector<float>> mix_apart(Backend& backend) {
    renew();
    std::vector<float> o(z_.size(), NAN), y(z_.size(), NAN);
    const Shape heads{rows(), delta_.value_heads, delta_.value_dim};
    const RowPlaces places = {sequence_, position_};
    const Tensor& qkv = input_.convolved;
    backend.causal_conv1d(input_.qkv, steps_.conv, delta_, places, qkv);
    backend.l2_norm(qkv, 0, delta_.key_heads, delta_.key_dim, steps_.l2_eps, steps_.query_scale);
    backend.l2_norm(qkv, delta_.keys_column(), delta_.key_heads, delta_.key_dim, steps_.l2_eps, 1.0f);
    backend.delta_gates(input_.a, input_.b, steps_.decay, steps_.dt_bias, input_.a, input_.b);
    backend.delta_net(qkv, input_.a, input_.b, delta_, places, certain_, view(o, heads));
    backend.gated_rms_norm(view(o, heads), input_.z, steps_.norm, steps_.norm_eps, view(y, heads));
    return {std::move(o), std::move(y)};
  }

 private:
  /// What a step leaves undefined.
  void renew() {
    g_ = a_, beta_ = b_;
    std::fill(qkv_.begin(), qkv_.end(), NAN);
  }

  const DeltaView& delta_;
  DeltaWeights weights_;
  std::vector<float> x_, a_, b_, z_, g_, beta_, qkv_;
  std::vector<int32_t> sequence_, position_, certain_;
  DeltaInput input_;
  DeltaSteps steps_;
};

}  // namespace duet::test
