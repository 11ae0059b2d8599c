// Speed of the CPU backend's linear() per weight type and number of rows, beside what this machine can do at that
// moment:
//   linear_bench [--threads N] [--cpu LEVEL] [--out N] [--in N] [--seconds S]
//                [--activations f32|native] [--type NAME]
// GB/s counts packed weight bytes (one row) and is printed beside a streaming read; GMAC/s counts multiplications and
// is printed beside a loop of independent float32 multiply-adds. Each figure is the best of several rounds.
#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/level.h"
#include "backend/runtime.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/memory.h"
#include "bench/support.h"

namespace duet {
namespace {

struct Options {
  int threads = 0;
  std::string level;
  Activations activations = Activations::kF32;
  std::string type;  // empty: all below
  int64_t out = 1536, in = 1536;
  double seconds = 0.3;
};

/// Multiply-adds per second of all threads: the gemm kernel itself on operands that stay in the first-level cache.
double peak_macs(ThreadPool& pool, const CpuKernels& kernels, double budget) {
  constexpr int64_t kColumns = 64, kCalls = 2000;
  const int64_t rows = kernels.row_tile;
  const double seconds = bench::best_seconds(budget, [&] {
    pool.parallel_for(pool.threads(), 1, [&](int64_t, int64_t, int) {
      alignas(64) float w[kColumns * 16] = {}, x[kColumns * 12] = {}, sums[12 * 16] = {};
      for (int64_t i = 0; i < kCalls; ++i) kernels.gemm(w, 16, x, kColumns, rows, sums, 16, true);
    });
  });
  return static_cast<double>(pool.threads() * kCalls * kColumns * 16 * rows) / seconds;
}

void run(const Options& options) {
  ThreadPool pool(options.threads);
  const CpuLevel level = choose_cpu_level(options.level);
  const auto backend = make_cpu_backend(pool, level.name);
  const double macs = peak_macs(pool, level.kernels, options.seconds);
  const double bytes = ReadProbe(pool, kReadProbeBytes, options.seconds).rate(false, options.seconds);
  fmt::print("level {}, {} threads, weight [{},{}]; limits now: {:.1f} GMAC/s, {:.1f} GB/s\n", level.name,
             pool.threads(), options.out, options.in, macs / 1e9, bytes / 1e9);
  fmt::print("{:6} {:>6} {:>10} {:>8} {:>8} {:>8} {:>8}\n", "type", "rows", "us", "GB/s", "% read", "GMAC/s", "% peak");
  constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K,
                              DType::kQ5_K, DType::kQ6_K, DType::kBF16, DType::kF16,  DType::kF32,  DType::kIQ4_XS};
  bool known = false;
  for (const DType type : kTypes) {
    const DTypeInfo& info = dtype_info(type);
    if (!options.type.empty() && info.name != options.type) continue;
    known = true;
    const int64_t in = options.in / info.block_size * info.block_size;
    const auto weights = bench::weights_beyond_caches(*backend, type, options.out, in, options.activations);
    const auto copies = static_cast<int64_t>(weights.size());
    for (const int64_t rows : {1, 2, 4, 12, 32, 128, 512}) {
      const Buffer x = backend->allocate(rows * in * 4), y = backend->allocate(rows * options.out * 4);
      for (int64_t i = 0; i < rows * in; ++i) reinterpret_cast<float*>(x.data())[i] = static_cast<float>(i % 7) - 3.0f;
      const Tensor tx = {x.data(), DType::kF32, Shape{rows, in}},
                   ty = {y.data(), DType::kF32, Shape{rows, options.out}};
      const int64_t used = rows < 32 ? copies : 1;
      const double seconds =
          bench::best_seconds(options.seconds,
                              [&] {
                                for (int64_t i = 0; i < used; ++i) {
                                  const LinearTerm term{weights[static_cast<size_t>(i)].get(), {}, Epilogue::kNone, ty};
                                  backend->linear(tx, {&term, 1});
                                }
                              }) /
          static_cast<double>(used);
      const double gbs = static_cast<double>(weights[0]->bytes()) / seconds,
                   rate = static_cast<double>(rows * options.out * in) / seconds;
      fmt::print("{:6} {:6} {:10.1f} {:8.2f} {:8.1f} {:8.2f} {:8.1f}\n", info.name, rows, seconds * 1e6, gbs / 1e9,
                 100 * gbs / bytes, rate / 1e9, 100 * rate / macs);
    }
  }
  if (!known) fail(ErrorCode::kUsageError, "--type {}: no weight type that is measured here", printable(options.type));
}

}  // namespace
}  // namespace duet

int main(int argc, char** argv) {
  duet::Options options;
  std::string activations = "f32";
  duet::bench::Program app("speed of the CPU backend's linear() per weight type and number of rows", "linear_bench");
  app.add_machine_options(options.threads, options.level);
  app.add_option("--out", options.out, "outputs of the weight")->check(CLI::Range(1, 1 << 20));
  app.add_option("--in", options.in, "columns of the weight")->check(CLI::Range(256, 1 << 20));
  app.add_option("--seconds", options.seconds, "seconds for each figure")->check(CLI::Range(0.001, 1000.0));
  app.add_option("--activations", activations, "arithmetic")->check(CLI::IsMember({"f32", "native"}));
  app.add_option("--type", options.type, "one weight type (default: all)");
  return app.main(argc, argv, [&] {
    options.activations = activations == "native" ? duet::Activations::kNative : duet::Activations::kF32;
    duet::run(options);
  });
}
