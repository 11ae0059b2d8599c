// Speed of the CPU backend's attention() per type of keys and values:
//   attention_bench [--threads N] [--cpu LEVEL] [--heads N] [--kv-heads N] [--dim N] [--depth N] [--rows N]
//                   [--seconds S] [--type NAME]
// `rows` tokens behind `depth` others, of one layer; pages of 16 layers take turns, so that they come from memory as in
// a model. Processor time of all threads beside the time by the clock: the former says what a call costs on a busy
// machine. GMAC/s counts the products of queries with keys and of weights with values, GB/s the pages.
#include <fmt/core.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/support.h"
#include "tensor/dtype.h"

namespace duet {
namespace {

struct Options {
  int threads = 1;
  std::string level, type;
  int64_t heads = 16, kv_heads = 8, dim = 128, depth = 2048, rows = 1;
  double seconds = 1.0;
};

Tensor tensor(std::vector<float>& data, Shape shape) {
  return {reinterpret_cast<std::byte*>(data.data()), DType::kF32, shape};
}

std::vector<float> random_floats(int64_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = normal(random);
  return out;
}

void measure(ThreadPool& pool, const Options& options, DType type) {
  constexpr int64_t kLayers = 16;
  CpuBackend backend(pool, choose_cpu_level(options.level));
  const int64_t length = options.depth + options.rows;
  const int64_t pages = (length + KvView::kPageTokens - 1) / KvView::kPageTokens;
  KvView view;
  view.dtype = type;
  view.kv_heads = options.kv_heads;
  view.head_dim = options.dim;
  const Buffer memory = backend.allocate(kLayers * pages * view.page_bytes());
  std::vector<float> k = random_floats(length * options.kv_heads * options.dim), v = k;
  std::vector<int32_t> sequence(static_cast<size_t>(length)), position;
  for (int64_t i = 0; i < length; ++i) position.push_back(static_cast<int32_t>(i));
  std::vector<std::vector<std::byte*>> layers(kLayers);
  const auto view_of = [&](int64_t layer) {
    std::vector<std::byte*>& own = layers[static_cast<size_t>(layer)];
    own.clear();
    for (int64_t i = 0; i < pages; ++i) own.push_back(memory.data() + (layer * pages + i) * view.page_bytes());
    return std::span<std::byte* const>(own);
  };
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::span<std::byte* const> own = view_of(layer);
    view.pages = {&own, 1};
    const Shape shape = {length, options.kv_heads, options.dim};
    backend.kv_write(tensor(k, shape), tensor(v, shape), view, {sequence, position});
  }
  std::vector<float> q = random_floats(options.rows * options.heads * options.dim), out(q.size());
  const Shape shape = {options.rows, options.heads, options.dim};
  const RowPlaces places = {std::span(sequence).first(static_cast<size_t>(options.rows)),
                            std::span(position).last(static_cast<size_t>(options.rows))};
  const AttentionSpec spec = {1.0f / 8.0f};
  double best = 1e30, best_processor = 1e30;
  for (const double end = bench::now() + options.seconds; bench::now() < end;) {
    const double begin = bench::now(), processor = bench::processor_seconds();
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      const std::span<std::byte* const> own = view_of(layer);
      view.pages = {&own, 1};
      backend.attention(tensor(q, shape), view, places, spec, tensor(out, shape));
    }
    best = std::min(best, (bench::now() - begin) / kLayers);
    best_processor = std::min(best_processor, (bench::processor_seconds() - processor) / kLayers);
  }
  const double macs = 2.0 * static_cast<double>(options.heads * options.dim) * static_cast<double>(options.rows) *
                      (static_cast<double>(options.depth) + static_cast<double>(options.rows + 1) / 2);
  const double bytes = static_cast<double>(length * view.page_bytes() / KvView::kPageTokens);
  fmt::print("{:5} {:8.1f} us {:8.1f} us of processor {:7.2f} GMAC/s {:6.2f} GB/s\n", dtype_info(type).name, best * 1e6,
             best_processor * 1e6, macs / best * 1e-9, bytes / best * 1e-9);
}

void run(const Options& options) {
  if (options.heads % options.kv_heads != 0) {
    fail(ErrorCode::kUsageError, "--heads {}: no multiple of the {} kv heads", options.heads, options.kv_heads);
  }
  ThreadPool pool(options.threads);
  fmt::print("{} threads, {} heads, {} kv heads of {}, {} rows behind {}\n", pool.threads(), options.heads,
             options.kv_heads, options.dim, options.rows, options.depth);
  bool known = false;
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    if (!options.type.empty() && options.type != dtype_info(type).name) continue;
    known = true;
    if (type == DType::kQ8_0 && options.dim % 32 != 0) continue;  // no such pages
    measure(pool, options, type);
  }
  if (!known) fail(ErrorCode::kUsageError, "--type {}: f32, f16, bf16 or q8_0 is wanted", printable(options.type));
}

}  // namespace
}  // namespace duet

int main(int argc, char** argv) {
  duet::Options options;
  duet::bench::Program app("speed of the CPU backend's attention() per type of keys and values", "attention_bench");
  app.add_machine_options(options.threads, options.level);
  const CLI::Range counts(1, 1 << 20);
  app.add_option("--heads", options.heads, "heads of queries")->check(counts);
  app.add_option("--kv-heads", options.kv_heads, "heads of keys and values")->check(counts);
  app.add_option("--dim", options.dim, "elements of a head")->check(counts);
  app.add_option("--depth", options.depth, "tokens before the rows")->check(CLI::Range(0, 1 << 20));
  app.add_option("--rows", options.rows, "rows of a call")->check(counts);
  app.add_option("--seconds", options.seconds, "seconds for each figure")->check(CLI::Range(0.001, 1000.0));
  app.add_option("--type", options.type, "one type of pages: f32, f16, bf16 or q8_0 (default: all)");
  return app.main(argc, argv, [&] { duet::run(options); });
}
