// The level avx512 (F, BW, DQ, VL): 16 lanes are one register.
#include "backend/cpu/kernels.h"

#include <immintrin.h>

#include <cstring>

namespace duet {
namespace {

#include "backend/cpu/avx512/lanes.inc"

constexpr int kUnrollWords = 8;
constexpr int kRowTile = 12;
constexpr int kStreams = 8;

#include "backend/cpu/level.inc"

}  // namespace

void fill_avx512_kernels(CpuKernels& table) noexcept { fill(table); }

}  // namespace duet
