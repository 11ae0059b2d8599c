#pragma once

// What the tests of Gated DeltaNet share: dimensions, states, seeded tokens, and a layer's ops from the pre-convolution
// rows to the gated norm.

#include <map>
#include <utility>

#include "backend/cpu/test_data.h"

namespace duet::test {

struct DeltaDims {
  int64_t key_heads = 2, value_heads = 4, key_dim = 16, value_dim = 16, conv_width = 4;
  bool tiled = false;  // value head h reads key head h mod Hk, else h / r

  std::vector<int32_t> key_head() const {
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

/// A step of a layer: the output of every row [Hv Dv], with what came before the gated norm in front [Hv Dv].
/// `certain_end` by sequence, the end of its rows where it says nothing.
inline std::vector<std::vector<float>> delta_step(Backend& backend, const DeltaDims& dims, const DeltaStates& states,
                                                  const std::vector<DeltaRow>& batch,
                                                  const std::map<int64_t, int64_t>& certain_end = {}) {
  const DeltaView& delta = states.view();
  DeltaWeights weights(dims);
  std::vector<float> x, a, b, z;
  std::vector<int32_t> sequence, position, certain(delta.states.size(), -1);
  for (const DeltaRow& row : batch) {
    const DeltaToken token(dims, row.text, row.position, row.which);
    x.insert(x.end(), token.x.begin(), token.x.end());
    a.insert(a.end(), token.a.begin(), token.a.end());
    b.insert(b.end(), token.b.begin(), token.b.end());
    z.insert(z.end(), token.z.begin(), token.z.end());
    sequence.push_back(static_cast<int32_t>(row.sequence));
    position.push_back(static_cast<int32_t>(row.position));
    certain[static_cast<size_t>(row.sequence)] = static_cast<int32_t>(row.position + 1);
  }
  for (const auto& [s, end] : certain_end) certain[static_cast<size_t>(s)] = static_cast<int32_t>(end);
  const auto rows = static_cast<int64_t>(batch.size());
  const int64_t heads = dims.value_heads, width = heads * dims.value_dim;
  const RowPlaces places = {sequence, position};
  std::vector<float> qkv(x.size(), NAN), o(z.size(), NAN), y(z.size(), NAN);
  const Tensor convolved = view(qkv, Shape{rows, delta.channels()});
  backend.causal_conv1d(view(x, Shape{rows, delta.channels()}),
                        view(weights.conv, Shape{delta.channels(), dims.conv_width}), delta, places, convolved);
  const float scale = 1.0f / std::sqrt(static_cast<float>(dims.key_dim));
  backend.l2_norm(convolved, 0, dims.key_heads, dims.key_dim, 1e-6f, scale);
  backend.l2_norm(convolved, delta.keys_column(), dims.key_heads, dims.key_dim, 1e-6f, 1.0f);
  const Tensor g = view(a, Shape{rows, heads}), beta = view(b, Shape{rows, heads});
  backend.delta_gates(g, beta, view(weights.decay, Shape{heads}), view(weights.dt_bias, Shape{heads}), g, beta);
  const Tensor out = view(o, Shape{rows, heads, dims.value_dim});
  backend.delta_net(convolved, g, beta, delta, places, certain, out);
  backend.gated_rms_norm(out, view(z, Shape{rows, width}), view(weights.norm, Shape{dims.value_dim}), 1e-6f,
                         view(y, Shape{rows, heads, dims.value_dim}));
  std::vector<std::vector<float>> results;
  for (int64_t t = 0; t < rows; ++t) {
    std::vector<float> row(o.begin() + t * width, o.begin() + (t + 1) * width);
    row.insert(row.end(), y.begin() + t * width, y.begin() + (t + 1) * width);
    results.push_back(std::move(row));
  }
  return results;
}

}  // namespace duet::test
