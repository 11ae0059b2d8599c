// avx512/native.cc, compiled with the intrinsics of tests/emulated/immintrin.h: for machines whose processor lacks the
// level.
#define fill_avx512_native fill_emulated_avx512_native
#include "backend/cpu/avx512/native.cc"
