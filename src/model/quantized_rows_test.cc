// Every form of golden/weight_formats: the decoded matrix bit for bit, and what is refused.
#include "model/quantized_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "model/families/quantized_tensors.h"
#include "tests/golden_file.h"
#include "tests/support.h"

namespace duet::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormats[] = {"fp8_block",    "ct_fp8_tensor", "ct_fp8_channel", "ct_int8", "ct_int4",
                                    "ct_int4_asym", "ct_mxfp4",      "ct_nvfp4",       "awq",     "gptq4",
                                    "gptq4_act",    "gptq8",         "mxfp4",          "nf4",     "nf4_double"};

fs::path folder_of(const std::string& format) {
  const fs::path kept = golden("weight_formats/" + format + "/linear");
  return fs::exists(kept / "linear.safetensors") ? kept : assets("golden/weight_formats/" + format + "/linear");
}

/// The one layer of a set: a folder with config.json and linear.safetensors.
struct OneLayer {
  explicit OneLayer(const fs::path& folder) : checkpoint(Checkpoint::open(folder / "linear.safetensors")) {
    // A folder's weights have another name: the configuration is read by a checkpoint of its own.
    const fs::path alone = temporary_folder() / "config";
    fs::create_directories(alone);
    fs::copy(folder / "config.json", alone / "config.json", fs::copy_options::overwrite_existing);
    const Checkpoint with_config = Checkpoint::open(alone, {.config = true});
    config = QuantizationConfig::read(with_config, warnings);
    source = QuantizedTensors(checkpoint, *config, taken).find("proj.weight", {160, 256});
  }
  Checkpoint checkpoint;
  std::vector<std::string> warnings;
  std::optional<QuantizationConfig> config;
  std::unordered_set<std::string> taken;
  std::shared_ptr<const QuantizedSource> source;
};

class QuantizedRowsGolden : public testing::TestWithParam<const char*> {};

/// As numbers, so that a zero has no sign: ggml's E2M1 has none.
void expect_equal(std::span<const float> actual, std::span<const float> expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_EQ(actual[i], expected[i]) << i;
}

TEST_P(QuantizedRowsGolden, DecodesBitForBit) {
  const fs::path folder = folder_of(GetParam());
  if (folder.empty()) GTEST_SKIP() << "needs golden/weight_formats in the folder that DUET_ASSETS names";
  const OneLayer layer(folder);
  EXPECT_EQ(layer.warnings, std::vector<std::string>{});
  ASSERT_NE(layer.source, nullptr);
  EXPECT_EQ(layer.taken.size(), layer.checkpoint.tensors().size());  // nothing is left over
  const std::vector<float> expected = GoldenFile(folder / "expect.safetensors").f32("weight");
  const QuantizedRows rows(layer.checkpoint, *layer.source);
  std::vector<float> decoded(expected.size());
  rows.decode(0, 160, decoded);
  EXPECT_EQ(0, std::memcmp(decoded.data(), expected.data(), 4 * expected.size()));
  // In the type that is packed, from rows that begin and end anywhere.
  for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 160}, {0, 1}, {3, 7}, {129, 31}, {159, 1}}) {
    SCOPED_TRACE(begin);
    std::vector<std::byte> bytes(static_cast<size_t>(count * rows.row_bytes()));
    rows.read(begin, count, bytes);
    std::vector<float> values(static_cast<size_t>(count * 256));
    const PackedForm& form = rows.form();
    const std::vector<std::byte> table = rows.table();
    for (int64_t r = 0; r < count; ++r) {
      const std::byte* const row = bytes.data() + r * rows.row_bytes();
      if (form.grouped) {
        decode_grouped(*form.grouped, 256, table.data(), row, 0, 256, values.data() + r * 256);
      } else {
        dequantize(form.dtype, row, 256, values.data() + r * 256);
      }
    }
    const std::span<const float> part(expected);
    expect_equal(values, part.subspan(static_cast<size_t>(begin * 256), values.size()));
  }
}

/// One copy in memory, as large as in the file: 2 per cent for zeros that get a byte, lines of tables.
TEST_P(QuantizedRowsGolden, PackedIsNoLargerThanTheFile) {
  const fs::path folder = folder_of(GetParam());
  if (folder.empty()) GTEST_SKIP() << "needs golden/weight_formats in the folder that DUET_ASSETS names";
  const OneLayer layer(folder);
  ASSERT_NE(layer.source, nullptr);
  const QuantizedRows rows(layer.checkpoint, *layer.source);
  const int64_t packed = packed_bytes(rows.form(), 160, 256);
  EXPECT_EQ(packed, 160 * rows.row_bytes() + static_cast<int64_t>(rows.table().size()));
  EXPECT_LE(static_cast<double>(packed), 1.02 * static_cast<double>(layer.source->bytes));
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedRowsGolden, testing::ValuesIn(kFormats),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace duet::test
