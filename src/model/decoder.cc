#include "model/decoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/check.h"
#include "model/block.h"
#include "model/footprint.h"
#include "model/mtp.h"
#include "model/packed_cache.h"
#include "model/registry.h"
#include "model/weights.h"
#include "ops/device.h"
#include "ops/rows.h"

namespace duet {

struct Decoder::State {
  Backend* backend = nullptr;
  ModelSpec spec;
  StateLayout layout;
  std::vector<RopeSpec> ropes;  // distinct, in order of first use
  Linear embedding, head;       // head.weight is embedding.weight when tied
  std::vector<Block> blocks;
  Tensor final_norm;
  std::optional<Mtp> mtp;
  std::vector<Buffer> buffers;
  int64_t weight_bytes = 0;
  bool from_packed_cache = false;
  std::shared_ptr<ExpertReader> expert_reader;

  void load(WeightLoader& loader, const ModelDescription& model, const DecoderOptions& options);
  /// Tells a block's mixer what it has to know of the model.
  void prepare(Block& block, const DecoderOptions& options) const {
    auto* const attention = std::get_if<Attention>(&block.mixer);
    if (attention == nullptr) return;
    attention->kv_type = options.kv_type;
    const auto found = std::find(ropes.begin(), ropes.end(), attention->spec.rope);
    if (found != ropes.end()) attention->rope_table = static_cast<size_t>(found - ropes.begin());
  }
  RopeTables rope_tables(Ctx& ctx, const Batch& batch) const;
};

Decoder::Decoder() : state_(std::make_unique<State>()) {}
Decoder::~Decoder() = default;
const ModelSpec& Decoder::spec() const { return state_->spec; }
Backend& Decoder::backend() const { return *state_->backend; }
int64_t Decoder::weight_bytes() const { return state_->weight_bytes; }
bool Decoder::from_packed_cache() const { return state_->from_packed_cache; }
std::optional<ExpertStats> Decoder::expert_stats() const {
  if (!state_->expert_reader) return std::nullopt;
  return state_->expert_reader->stats();
}

WeightWork Decoder::weight_work() const {
  WeightWork work;
  const auto add = [&](const PackedWeight& weight, int64_t times) {
    int64_t& macs = weight.activations() == Activations::kNative ? work.native_macs : work.float_macs;
    macs += times * weight.rows() * weight.cols();
  };
  int64_t resting_bytes = 0;  // of experts that a token does not choose
  for (const Block& block : state_->blocks) {
    const auto visit = [&](const Linear& layer) { add(*layer.weight, 1); };
    std::visit([&](const auto& mixer) { mixer.visit_weights(visit); }, block.mixer);
    if (const auto* moe = std::get_if<Moe>(&block.ffn)) {
      moe->visit_weights(visit, [&](const ops::ExpertLinear& experts) {
        add(*experts.experts.front(), moe->spec.top_k);
        resting_bytes += (moe->experts_in_memory() - moe->spec.top_k) * experts.experts.front()->bytes();
      });
    } else {
      std::get<Mlp>(block.ffn).visit_weights(visit);
    }
  }
  work.head_macs = state_->head.out_dim() * state_->head.in_dim();
  work.native_head = state_->head.weight->activations() == Activations::kNative;
  const bool shared = state_->head.weight == state_->embedding.weight;
  work.bytes = state_->weight_bytes - resting_bytes - (shared ? 0 : state_->embedding.weight->bytes());
  return work;
}

const StateLayout& Decoder::state_layout() const { return state_->layout; }

std::shared_ptr<const Decoder> Decoder::load(Backend& backend, const Checkpoint& checkpoint,
                                             const ModelDescription& model,
                                             const std::function<void(int64_t, int64_t)>& progress,
                                             const DecoderOptions& options, const PackedCachePlace* place) {
  check_kv_type(model.spec, options.kv_type);
  PackedCache cache(place, weight_parts(model, options.mtp).total());
  int64_t pass = 0;
  while (true) {
    std::shared_ptr<Decoder> decoder(new Decoder);
    // A load that first writes the cache of its experts is two passes, and one progress.
    const bool twice = pass > 0 || (options.expert_slots > 0 && !cache.serving());
    const auto report = [&](int64_t done, int64_t total) {
      if (progress) progress(twice ? (pass * total + done) / 2 : done, total);
    };
    try {
      decoder->state_->backend = &backend;
      WeightLoader loader(backend, ops::device_of(backend), checkpoint, model, options.activations, report, cache,
                          options.expert_slots);
      decoder->state_->load(loader, model, options);
      if (options.expert_slots > 0 && !cache.serving()) {
        cache.serve_what_was_written();
        pass = 1;
        continue;  // with experts that are read from it
      }
      decoder->state_->from_packed_cache = cache.finish();
      return decoder;
    } catch (const PackedCacheError& error) {
      cache.rebuild(error);  // and all of it again, from the checkpoint
      pass = 0;
    }
  }
}

void Decoder::State::load(WeightLoader& loader, const ModelDescription& model, const DecoderOptions& options) {
  spec = model.spec;
  embedding = loader.linear("model.embed_tokens");
  ropes = distinct_ropes(model.spec, options.mtp);
  layout = duet::state_layout(model.spec, options);
  for (size_t i = 0; i < model.spec.layers.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    Block block = Block::load(loader, prefix, model.spec.layers[i], model.spec.norm_eps);
    prepare(block, options);
    blocks.push_back(std::move(block));
  }
  if (options.mtp && model.spec.mtp) {
    mtp = Mtp::load(loader, *model.spec.mtp, model.spec.norm_eps);
    prepare(mtp->layer, options);
  }
  final_norm = loader.vector("model.norm.weight");
  head = model.spec.tied_head ? Linear{embedding.weight, {}} : loader.linear("lm_head");
  weight_bytes = loader.packed_bytes();
  buffers = loader.take_buffers();
  expert_reader = loader.expert_reader();
}

int64_t Decoder::scratch_bytes(int64_t rows, int64_t head_rows) const {
  return step_scratch_bytes(state_->spec, state_->ropes, rows, head_rows);
}

RopeTables Decoder::State::rope_tables(Ctx& ctx, const Batch& batch) const {
  const int64_t rows = batch.tokens();
  RopeTables rope;
  for (const RopeSpec& rope_spec : ropes) {
    // The angle is the exact product of the position and the float32 inverse frequency, as golden/text/README.md asks.
    const size_t pairs = rope_spec.inv_freq.size();
    std::vector<float> cos(static_cast<size_t>(rows) * pairs), sin(cos.size());
    for (size_t t = 0; t < static_cast<size_t>(rows); ++t) {
      for (size_t i = 0; i < pairs; ++i) {
        const double angle = static_cast<double>(batch.positions[t]) * static_cast<double>(rope_spec.inv_freq[i]);
        cos[t * pairs + i] = static_cast<float>(std::cos(angle) * static_cast<double>(rope_spec.factor));
        sin[t * pairs + i] = static_cast<float>(std::sin(angle) * static_cast<double>(rope_spec.factor));
      }
    }
    const Shape shape{rows, static_cast<int64_t>(pairs)};
    rope.entries.push_back({ops::upload(ctx, cos, shape), ops::upload(ctx, sin, shape)});
  }
  return rope;
}

bool Decoder::has_mtp() const { return state_->mtp.has_value(); }

int64_t Decoder::mtp_scratch_bytes(int64_t rows) const {
  if (!has_mtp()) return 0;
  const auto f32 = [](Shape shape) { return Arena::footprint_bytes(DType::kF32, shape); };
  const int64_t hidden = state_->spec.hidden_dim;
  return rope_scratch_bytes(state_->ropes, rows) + 2 * f32({rows, hidden}) +
         Mtp::scratch_bytes(*state_->spec.mtp, hidden, rows);
}

Tensor Decoder::forward_mtp(Ctx& ctx, const Batch& batch, const Tensor& hidden) const {
  DUET_CHECK(has_mtp() && hidden.dim(0) == batch.tokens());
  const Tensor y = ctx.scratch(hidden.shape);
  const int64_t mark = ctx.arena.mark();
  const RopeTables rope = state_->rope_tables(ctx, batch);
  const Tensor embedded = ctx.scratch(hidden.shape);
  ops::embed_rows(ctx, state_->embedding, batch.ids, embedded);
  state_->mtp->forward(ctx, batch, static_cast<int64_t>(state_->blocks.size()), rope, embedded, hidden, y);
  ctx.arena.rewind(mark);
  return y;
}

Tensor Decoder::forward(Ctx& ctx, const Batch& batch, const HiddenSink& hidden_sink) const {
  const int64_t rows = batch.tokens();
  const RopeTables rope = state_->rope_tables(ctx, batch);
  const Tensor hidden = ctx.scratch({rows, state_->spec.hidden_dim});
  ops::embed_rows(ctx, state_->embedding, batch.ids, hidden);
  if (hidden_sink) hidden_sink(0, hidden);
  for (size_t layer = 0; layer < state_->blocks.size(); ++layer) {
    const auto index = static_cast<int64_t>(layer);
    state_->blocks[layer].forward(ctx, batch, index, rope, hidden);
    if (hidden_sink) hidden_sink(index + 1, hidden);
  }
  const Tensor normed = ctx.scratch(hidden.shape);
  ops::rms_norm(ctx, hidden, state_->final_norm, state_->spec.norm_eps, normed);
  return normed;
}

Tensor Decoder::head(Ctx& ctx, const Tensor& normed, std::span<const int32_t> rows) const {
  const auto count = static_cast<int64_t>(rows.size());
  const Tensor selected = ctx.scratch({count, state_->spec.hidden_dim});
  const Tensor logits = ctx.scratch({count, state_->spec.vocabulary});
  ops::select_rows(ctx, normed, rows, selected);
  ops::linear(ctx, selected, state_->head, logits);
  return logits;
}

}  // namespace duet
