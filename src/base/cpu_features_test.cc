#include "base/cpu_features.h"

#include <gtest/gtest.h>

namespace duet {
namespace {

TEST(CpuFeatures, AHigherSetHasTheLowerOnes) {
  const CpuFeatures features = cpu_features();
  EXPECT_TRUE(features.avx2 || !features.avx512);
  EXPECT_TRUE(features.avx512 || !(features.avx512_vnni || features.avx512_bf16));
#if defined(__x86_64__)
  EXPECT_EQ(features.avx2, __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(features.avx512, __builtin_cpu_supports("avx512bw") != 0);
  EXPECT_EQ(features.avx512_vnni, __builtin_cpu_supports("avx512vnni") != 0);
#endif
}

TEST(CpuFeatures, NamesAreOfWhatThereIs) {
  EXPECT_TRUE(feature_names({}).empty());
  const std::vector<std::string_view> expected = {"AVX2", "AVX-512 VNNI", "AMX int8"};
  EXPECT_EQ(feature_names({.avx2 = true, .avx512_vnni = true, .amx_int8 = true}), expected);
  EXPECT_FALSE(cpu_name().empty());
}

}  // namespace
}  // namespace duet
