#pragma once

// What the tests of the CPU backend share: seeded data, weights of every type, backends of every level.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/level.h"
#include "backend/runtime.h"
#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace duet {
#if defined(__x86_64__)  // tests/emulated
void fill_emulated_avx512_kernels(CpuKernels& table) noexcept;
void fill_emulated_avx512_native(CpuKernels& table) noexcept;
void fill_emulated_avx512vnni_native(CpuKernels& table) noexcept;
#endif
}  // namespace duet

namespace duet::test {

inline constexpr double kEps = 0x1p-24;  // half a step of float32

/// All types that dequantize() knows.
inline std::vector<DType> weight_types() {
  std::vector<DType> types;
  for (int id = 0; id < 128; ++id) {
    const bool ggml = dtype_from_ggml(static_cast<uint32_t>(id)).has_value();
    const bool other = id >= static_cast<int>(DType::kU8) && id <= static_cast<int>(DType::kF8E8M0);
    if ((ggml || other) && can_dequantize(static_cast<DType>(id))) types.push_back(static_cast<DType>(id));
  }
  return types;
}

/// Types that have kernels of their own.
inline const std::vector<DType>& panel_types() {
  static const std::vector<DType> kTypes = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0,
                                            DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0,
                                            DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,
                                            DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};
  return kTypes;
}

inline std::vector<float> random_floats(int64_t count, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = normal(random);
  return out;
}

/// A matrix in a file's form with its float32 values.
struct Matrix {
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;
  std::vector<std::byte> bytes;
  std::vector<float> values;

  WeightSource source(const std::string& name = "weight") const {
    const int64_t row = row_bytes(dtype_info(dtype), cols);
    return {name, dtype, rows, cols, [this, row](int64_t begin, int64_t count, std::span<std::byte> out) {
              if (static_cast<int64_t>(out.size()) != count * row || begin < 0 || begin + count > rows) std::abort();
              if (!out.empty()) std::memcpy(out.data(), bytes.data() + begin * row, out.size());
            }};
  }
};

/// Random bytes, drawn block by block until all values are finite and, except of whole numbers, below 1000.
inline Matrix random_matrix(DType dtype, int64_t rows, int64_t cols, uint32_t seed) {
  const DTypeInfo& info = dtype_info(dtype);
  const bool whole = info.block_size == 1 && (info.name[0] == 'i' || info.name[0] == 'u' || info.name[0] == 'b') &&
                     dtype != DType::kBF16;
  const float limit = whole ? 0x1p65f : 1000.0f;
  std::mt19937 random(seed);
  if (cols % info.block_size != 0) std::abort();
  Matrix m = {dtype, rows, cols, {}, {}};
  m.bytes.resize(static_cast<size_t>(rows * row_bytes(info, cols)));
  m.values.resize(static_cast<size_t>(rows * cols));
  for (int64_t b = 0; b < rows * cols / info.block_size; ++b) {
    std::byte* const block = m.bytes.data() + b * info.block_bytes;
    float* const values = m.values.data() + b * info.block_size;
    for (bool good = false; !good;) {
      for (int64_t i = 0; i < info.block_bytes; ++i) block[i] = static_cast<std::byte>(random());
      dequantize(dtype, block, info.block_size, values);
      good = true;
      for (int64_t i = 0; i < info.block_size; ++i) good = good && std::abs(values[i]) < limit;
    }
  }
  return m;
}

/// The levels of the processor, and those that are emulated for tests (tests/emulated): the same kernels, on any
/// machine.
inline const std::vector<std::string>& all_levels() {
  static const std::vector<std::string> kLevels = {
    "baseline",
    "avx2",
    "avx512",
    "avx512vnni",
#if defined(__x86_64__)
    "avx512_emulated",
    "avx512vnni_emulated",
#endif
  };
  return kLevels;
}

/// Kernels that are slow: fewer shapes will do where all of them take the same way.
inline bool emulated(std::string_view level) { return level.find("_emulated") != std::string_view::npos; }

/// Those that differ in the float32 kernels.
inline std::vector<std::string> float_levels() {
  std::vector<std::string> levels = all_levels();
  levels.erase(std::remove(levels.begin(), levels.end(), "avx512vnni_emulated"), levels.end());  // has those of avx512
  return levels;
}

/// Why a level of all_levels() is not tested on this machine; empty if it is.
inline std::string why_not(std::string_view level) {
  const auto real = supported_cpu_levels();
  const auto here = [&](std::string_view name) { return std::find(real.begin(), real.end(), name) != real.end(); };
  const size_t end = level.find("_emulated");
  if (end == std::string_view::npos) return here(level) ? "" : "this CPU lacks " + std::string(level);
  const std::string original(level.substr(0, end));
  return here(original) ? "this CPU has " + original + " itself" : "";
}

inline std::vector<std::string> levels_here() {
  std::vector<std::string> levels;
  for (const std::string& level : all_levels()) {
    if (why_not(level).empty()) levels.push_back(level);
  }
  return levels;
}

/// The kernels of a level of all_levels(), or as choose_cpu_level() chooses.
inline CpuLevel choose_level(std::string_view name) {
#if defined(__x86_64__)
  if (emulated(name)) {
    CpuLevel level = choose_cpu_level("baseline");
    level.name = name;
    fill_emulated_avx512_kernels(level.kernels);
    fill_emulated_avx512_native(level.kernels);
    if (name == "avx512vnni_emulated") fill_emulated_avx512vnni_native(level.kernels);
    return level;
  }
#endif
  return choose_cpu_level(name);
}

/// A backend with its pool.
struct Cpu {
  explicit Cpu(std::string_view level = "", int threads = 2)
      : pool(std::make_unique<ThreadPool>(threads)),
        backend(std::make_unique<CpuBackend>(*pool, choose_level(level))) {}
  Backend* operator->() const { return backend.get(); }
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Backend> backend;
};

inline std::unique_ptr<PackedWeight> pack(Backend& backend, const Matrix& m, Activations activations) {
  WeightSource source = m.source();
  source.activations = activations;
  return backend.pack(source);
}

/// `top_k` different experts for each token.
inline std::vector<int32_t> random_experts(int64_t tokens, int64_t experts, int64_t top_k, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> all(static_cast<size_t>(experts)), ids;
  std::iota(all.begin(), all.end(), 0);
  for (int64_t t = 0; t < tokens; ++t) {
    std::shuffle(all.begin(), all.end(), random);
    ids.insert(ids.end(), all.begin(), all.begin() + top_k);
  }
  return ids;
}

inline Tensor view_ids(std::vector<int32_t>& ids, Shape shape) {
  static int32_t nothing = 0;  // an empty vector may have no address
  return {reinterpret_cast<std::byte*>(ids.empty() ? &nothing : ids.data()), DType::kI32, shape};
}

inline Tensor view(std::vector<float>& data, Shape shape) {
  static float nothing = 0;  // an empty vector may have no address
  float* const address = data.empty() ? &nothing : data.data();
  return {reinterpret_cast<std::byte*>(address), DType::kF32, shape};
}

}  // namespace duet::test
