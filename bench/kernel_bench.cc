// Speed of the native arithmetic's linear() (docs/numerics.md) per weight type, shape and number of rows, beside what a
// core can do at that moment:
//   kernel_bench [--type NAME,NAME...] [--rows N,N...] [--shape NAME,NAME...] [--threads N,N...] [--rounds N]
//                [--cpu LEVEL] [--processor-clock]
// GMAC/s counts multiplications, GB/s packed weight bytes. The limits beside them: a loop of nothing but the products
// of an integer kernel (vpmaddubsw and vpaddw, 4 rows by 16 weights, operands in registers and the first-level cache)
// on every thread, and a streaming read. Figures are medians of rounds; in a round every case has its turn and the
// limits are measured anew before each, so that a neighbour who takes half of a core takes it from both.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backend/backend.h"
#include "backend/runtime.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/memory.h"
#include "bench/support.h"

namespace duet {
namespace {

/// Seconds, of a clock on the wall or of a share of the processor: time of all threads divided by their number.
struct Clock {
  bool processor = false;
  int threads = 1;
  double now() const { return processor ? bench::processor_seconds() / threads : bench::now(); }
};

struct Matrix {
  std::string name;
  int64_t out, in;
};
const std::vector<Matrix>& shapes() {
  static const std::vector<Matrix> kShapes = {{"qwen3-0.6b-up", 3072, 1024},    {"qwen3-0.6b-down", 1024, 3072},
                                              {"qwen3-0.6b-k", 1024, 1024},     {"llama3.2-1b-up", 8192, 2048},
                                              {"llama3.2-1b-down", 2048, 8192}, {"head", 151936, 1024}};
  return kShapes;
}

struct Options {
  std::vector<std::string> types = {"q4_0", "q4_1", "q4_k", "q5_k", "q6_k", "q8_0", "iq4_xs", "mxfp4"};
  std::vector<std::string> shape_names = {"qwen3-0.6b-down"};
  std::vector<int64_t> rows = {1, 2, 3, 4, 6, 8, 12, 16, 32, 128, 512};
  std::vector<int64_t> threads = {1, 0};
  int rounds = 5;
  bool processor_clock = false;
  std::string level;
};

#if defined(__x86_64__)
/// 8 sums of 16-bit pairs, `count` times 8 products of a word of 4 columns: 4 rows by 16 weights, as in avx2/native.cc.
__attribute__((target("avx2"))) void multiply_in_cache(int64_t count, int8_t* memory) {
  __m256i sums[8];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < count; ++i) {
    const int8_t* const at = memory + i % 16 * 64;
    const __m256i a = _mm256_load_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i b = _mm256_load_si256(reinterpret_cast<const __m256i*>(at + 32));
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      int32_t word;
      std::memcpy(&word, at + 4 * r, sizeof word);
      const __m256i x = _mm256_set1_epi32(word);
      sums[2 * r] = _mm256_add_epi16(sums[2 * r], _mm256_maddubs_epi16(a, x));
      sums[2 * r + 1] = _mm256_add_epi16(sums[2 * r + 1], _mm256_maddubs_epi16(b, x));
    }
  }
  for (int i = 1; i < 8; ++i) sums[0] = _mm256_add_epi16(sums[0], sums[i]);
  _mm256_store_si256(reinterpret_cast<__m256i*>(memory), sums[0]);
  asm volatile("" : : "r"(memory) : "memory");  // the sums are wanted
}
#endif

/// Products per second of all threads when nothing but products is done; 0 where there is no such loop.
double peak_macs(ThreadPool& pool, const Clock& clock) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") == 0) return 0;
  constexpr int64_t kCount = 200000;
  const double begin = clock.now();
  pool.parallel_for(pool.threads(), 1, [&](int64_t, int64_t, int) {
    alignas(64) int8_t memory[16 * 64] = {};
    multiply_in_cache(kCount, memory);
  });
  return static_cast<double>(pool.threads() * kCount * 8 * 32) / (clock.now() - begin);
#else
  return 0 * pool.threads() * clock.threads;
#endif
}

/// Bytes per second that all threads read from memory.
double peak_bytes(ThreadPool& pool, const Clock& clock, const Buffer& buffer) {
  const double begin = clock.now();
  bench::read_once(pool, {buffer.data(), static_cast<size_t>(buffer.bytes())});
  return static_cast<double>(buffer.bytes()) / (clock.now() - begin);
}

/// One type and shape: enough copies of the weight that few rows find it in memory and not in a cache.
class Case {
 public:
  Case(Backend& backend, DType type, const Matrix& shape)
      : backend_(backend),
        shape_(shape),
        weights_(bench::weights_beyond_caches(backend, type, shape.out, shape.in, Activations::kNative)) {}

  int64_t bytes() const { return weights_[0]->bytes(); }
  double macs(int64_t rows) const { return static_cast<double>(rows * shape_.out * shape_.in); }

  /// Seconds of one product; the mean of as many as take about 20 ms at 40 GMAC/s.
  double seconds(int64_t rows, const Clock& clock) {
    const Buffer x = backend_.allocate(rows * shape_.in * 4), y = backend_.allocate(rows * shape_.out * 4);
    for (int64_t i = 0; i < rows * shape_.in; ++i) {
      reinterpret_cast<float*>(x.data())[i] = static_cast<float>(i * 37 % 101) - 50.0f;
    }
    const Tensor tx = {x.data(), DType::kF32, Shape{rows, shape_.in}};
    const Tensor ty = {y.data(), DType::kF32, Shape{rows, shape_.out}};
    const auto multiply = [&] {
      next_ = (next_ + 1) % weights_.size();
      const LinearTerm term{weights_[next_].get(), {}, Epilogue::kNone, ty};
      backend_.linear(tx, {&term, 1});
    };
    multiply();
    const int64_t count = std::max<int64_t>(1, static_cast<int64_t>(0.8e9 / macs(rows)));
    const double begin = clock.now();
    for (int64_t i = 0; i < count; ++i) multiply();
    return (clock.now() - begin) / static_cast<double>(count);
  }

 private:
  Backend& backend_;
  Matrix shape_;
  std::vector<std::unique_ptr<PackedWeight>> weights_;
  size_t next_ = 0;
};

void measure(const Options& options, int64_t threads, const Matrix& shape) {
  ThreadPool pool(static_cast<int>(threads));
  const Clock clock = {options.processor_clock, pool.threads()};
  const auto backend = make_cpu_backend(pool, options.level);
  const Buffer memory = backend->allocate(kReadProbeBytes);
  std::memset(memory.data(), 1, kReadProbeBytes);
  fmt::print("\n{}: [{},{}], {} thread(s), medians of {}\n", shape.name, shape.out, shape.in, pool.threads(),
             options.rounds);
  fmt::print("{:7} {:>5} {:>10} {:>8} {:>7} {:>8} {:>7}\n", "type", "rows", "us", "GMAC/s", "% peak", "GB/s", "% read");
  for (const std::string& name : options.types) {
    int id = 0;
    while (id < 48 && !(dtype_from_ggml(static_cast<uint32_t>(id)) && dtype_info(static_cast<DType>(id)).name == name))
      ++id;
    if (id == 48) fail(ErrorCode::kUsageError, "--type {}: no such weight type", printable(name));
    Case one(*backend, static_cast<DType>(id), shape);
    std::vector<std::vector<double>> seconds(options.rows.size()), macs = seconds, bytes = seconds;
    for (int round = 0; round < options.rounds; ++round) {
      for (size_t i = 0; i < options.rows.size(); ++i) {
        const double peak = peak_macs(pool, clock), read = peak_bytes(pool, clock, memory);
        const double s = one.seconds(options.rows[i], clock);
        seconds[i].push_back(s);
        macs[i].push_back(one.macs(options.rows[i]) / s / peak);
        bytes[i].push_back(static_cast<double>(one.bytes()) / s / read);
      }
    }
    for (size_t i = 0; i < options.rows.size(); ++i) {
      const double s = bench::median(seconds[i]);
      fmt::print("{:7} {:5} {:10.1f} {:8.1f} {:7.1f} {:8.2f} {:7.1f}\n", name, options.rows[i], s * 1e6,
                 one.macs(options.rows[i]) / s / 1e9, 100 * bench::median(macs[i]),
                 static_cast<double>(one.bytes()) / s / 1e9, 100 * bench::median(bytes[i]));
    }
    std::fflush(stdout);
  }
  fmt::print("limits now: {:.1f} GMAC/s, {:.1f} GB/s\n", peak_macs(pool, clock) / 1e9,
             peak_bytes(pool, clock, memory) / 1e9);
}

void run(const Options& options) {
  for (const std::string& name : options.shape_names) {
    const auto shape = std::find_if(shapes().begin(), shapes().end(), [&](const Matrix& s) { return s.name == name; });
    if (shape == shapes().end()) {
      std::string names;
      for (const Matrix& s : shapes()) names += " " + s.name;
      fail(ErrorCode::kUsageError, "--shape {}: not one of{}", printable(name), names);
    }
    for (const int64_t threads : options.threads) measure(options, threads, *shape);
  }
}

}  // namespace
}  // namespace duet

int main(int argc, char** argv) {
  duet::Options options;
  duet::bench::Program app("speed of the native arithmetic's linear() per weight type, shape and number of rows",
                           "kernel_bench");
  const CLI::Range counts(1, 1 << 20);
  app.add_option("--type", options.types, "weight types")->delimiter(',');
  app.add_option("--shape", options.shape_names, "shapes of weights")->delimiter(',');
  app.add_option("--rows", options.rows, "rows of activations")->delimiter(',')->check(counts);
  app.add_option("--threads", options.threads, "threads (0: physical cores)")
      ->delimiter(',')
      ->check(CLI::Range(0, 1024));
  app.add_option("--rounds", options.rounds, "rounds, of which the median counts")->check(counts);
  app.add_option("--cpu", options.level, "level of the instruction set");
  app.add_flag("--processor-clock", options.processor_clock,
               "time that the threads had of the processor, not that on the wall");
  return app.main(argc, argv, [&] { duet::run(options); });
}
