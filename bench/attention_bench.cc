// Speed of the CPU backend's attention() per type of keys and values:
//   attention_bench [--threads N] [--cpu LEVEL] [--heads N] [--kv-heads N] [--dim N] [--depth N] [--rows N]
//                   [--seconds S] [--type NAME]
// `rows` tokens behind `depth` others, of one layer; pages of 16 layers take turns, so that they come from memory as in
// a model. Processor time of all threads beside the time by the clock: the former says what a call costs on a busy
// machine. GMAC/s counts the products of queries with keys and of weights with values, GB/s the pages.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace duet {
namespace {

struct Options {
  int threads = 1;
  std::string level, type;
  int64_t heads = 16, kv_heads = 8, dim = 128, depth = 2048, rows = 1;
  double seconds = 1.0;
};

double processor_seconds() {
  timespec t = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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
  for (const double end = now() + options.seconds; now() < end;) {
    const double begin = now(), processor = processor_seconds();
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      const std::span<std::byte* const> own = view_of(layer);
      view.pages = {&own, 1};
      backend.attention(tensor(q, shape), view, places, spec, tensor(out, shape));
    }
    best = std::min(best, (now() - begin) / kLayers);
    best_processor = std::min(best_processor, (processor_seconds() - processor) / kLayers);
  }
  const double macs = 2.0 * static_cast<double>(options.heads * options.dim) * static_cast<double>(options.rows) *
                      (static_cast<double>(options.depth) + static_cast<double>(options.rows + 1) / 2);
  const double bytes = static_cast<double>(length * view.page_bytes() / KvView::kPageTokens);
  fmt::print("{:5} {:8.1f} us {:8.1f} us of processor {:7.2f} GMAC/s {:6.2f} GB/s\n", dtype_info(type).name, best * 1e6,
             best_processor * 1e6, macs / best * 1e-9, bytes / best * 1e-9);
}

int run(int count, char** words) {
  Options options;
  for (int i = 1; i < count; i += 2) {
    const std::string name = words[i], value = i + 1 < count ? words[i + 1] : "";
    char* end = nullptr;
    const auto number = [&](int64_t least) {
      const long long n = std::strtoll(value.c_str(), &end, 10);
      if (n < least || n > 1 << 20) end = nullptr;
      return static_cast<int64_t>(n);
    };
    if (name == "--threads") options.threads = static_cast<int>(number(0));
    if (name == "--heads") options.heads = number(1);
    if (name == "--kv-heads") options.kv_heads = number(1);
    if (name == "--dim") options.dim = number(1);
    if (name == "--depth") options.depth = number(0);
    if (name == "--rows") options.rows = number(1);
    if (name == "--seconds") options.seconds = std::strtod(value.c_str(), &end);
    if (name == "--cpu" || name == "--type") {
      (name == "--cpu" ? options.level : options.type) = value;
      end = words[i] + name.size();
    }
    if (value.empty() || end == nullptr || *end != '\0') {
      fail(ErrorCode::kUsageError, "{} {}: no such option or value", printable(name), printable(value));
    }
  }
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
  return 0;
}

}  // namespace
}  // namespace duet

int main(int count, char** words) {
  try {
    return duet::run(count, words);
  } catch (const duet::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
