#include "formats/safetensors_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "formats/checkpoint.h"
#include "formats/export_tensor.h"
#include "tests/golden_file.h"
#include "tests/support.h"

namespace duet {
namespace {

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

size_t entries(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(SafetensorsWriter, WritesWhatAStrictReaderReads) {
  const auto path = test::temporary_folder() / "out.safetensors";
  const std::vector<float> a{1.0F, -2.5F, 3.25F, 0.0F, 5.0F, 6.0F};
  const std::vector<int64_t> ids{-1, INT64_MAX};
  {
    SafetensorsWriter writer(path, {{"a \"quoted\"\n", DType::kF32, {3, 2}},
                                    {"empty", DType::kF32, {0, 5}},
                                    {"ids", DType::kI64, {2, 1}},
                                    {"b", DType::kF32, {6}}});
    writer.append(3, bytes_of(a).first(4));  // pieces of several tensors, interleaved
    writer.append(0, bytes_of(a).first(8));
    writer.append(2, bytes_of(ids));
    writer.append(0, bytes_of(a).subspan(8));
    writer.append(3, bytes_of(a).subspan(4));
    EXPECT_FALSE(std::filesystem::exists(path));
    writer.finish();
  }
  const test::GoldenFile file(path);
  EXPECT_EQ(file.f32("a \"quoted\"\n"), a);
  EXPECT_EQ(file.f32("b"), a);
  EXPECT_EQ(file.i64("ids"), ids);
  EXPECT_EQ(file.shape("empty"), (Shape{0, 5}));
  const Checkpoint checkpoint = Checkpoint::open(path);
  for (const TensorEntry& tensor : checkpoint.tensors()) EXPECT_EQ(tensor.offset % 4, 0U) << tensor.name;
  EXPECT_EQ(checkpoint.find("ids")->offset % 8, 0U);
  EXPECT_EQ(entries(path.parent_path()), 1U);
}

TEST(SafetensorsWriter, WithoutFinishThereIsNoFileAndTheOldOneStays) {
  const auto path = test::temporary_folder() / "out.safetensors";
  {
    SafetensorsWriter writer(path, {{"a", DType::kF32, {1}}});
    writer.append(0, bytes_of(std::vector<float>{1}));
  }
  EXPECT_EQ(entries(path.parent_path()), 0U);
  write_file_atomically(path, "old");
  { SafetensorsWriter writer(path, {{"a", DType::kF32, {1}}}); }
  EXPECT_EQ(read_text_file(path, 100), "old");
  EXPECT_EQ(entries(path.parent_path()), 1U);
}

TEST(SafetensorsWriter, PlacesThatCannotBeWrittenAreErrors) {
  const auto folder = test::temporary_folder();
  EXPECT_ERROR(SafetensorsWriter(folder / "none" / "x", {}), ErrorCode::kNotFound, "none");
  EXPECT_ERROR(SafetensorsWriter(folder, {}), ErrorCode::kIoError, "not a regular file");
  EXPECT_ERROR(SafetensorsWriter("/dev/full", {}), ErrorCode::kIoError, "not a regular file");
}

TEST(SafetensorsWriter, AFullDiskLeavesNoFile) {
  const auto path = test::temporary_folder() / "out.safetensors";
  // A limit on file sizes fails a write as a full disk does, for this process only.
  struct rlimit old {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = old;
  small.rlim_cur = 64 * 1024;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::vector<float> row(1024, 1.0F);
  const auto fill = [&] {
    SafetensorsWriter writer(path, {{"a", DType::kF32, {100, 1024}}});
    for (int i = 0; i < 100; ++i) writer.append(0, bytes_of(row));
    writer.finish();
  };
  EXPECT_ERROR(fill(), ErrorCode::kIoError, "out.safetensors: cannot write");
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(entries(path.parent_path()), 0U);
}

TEST(ExportTensor, DequantizesInTheFilesOrder) {
  const auto folder = test::temporary_folder();
  // Longer than one piece of the stream, not a multiple of it.
  constexpr int64_t kElements = 600'001;
  std::vector<int64_t> values(kElements);
  for (int64_t i = 0; i < kElements; ++i) values[static_cast<size_t>(i)] = i - 1000;
  const auto path = folder / "in.safetensors";
  SafetensorsWriter writer(path, {{"x", DType::kI64, {kElements, 1}}, {"e", DType::kBF16, {0, 4}}});
  writer.append(0, bytes_of(values));
  writer.finish();
  const Checkpoint checkpoint = Checkpoint::open(path);
  export_tensor(checkpoint, *checkpoint.find("x"), folder / "x.safetensors");
  const test::GoldenFile out(folder / "x.safetensors");
  EXPECT_EQ(out.shape("x"), (Shape{kElements, 1}));
  const auto written = out.f32("x");
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(written[i], static_cast<float>(values[i])) << i;
  export_tensor(checkpoint, *checkpoint.find("e"), folder / "e.safetensors");
  EXPECT_EQ(test::GoldenFile(folder / "e.safetensors").shape("e"), (Shape{0, 4}));
}

TEST(ExportTensor, AFileThatShrankLeavesNoOutput) {
  const auto folder = test::temporary_folder();
  const auto path = folder / "in.safetensors";
  SafetensorsWriter writer(path, {{"x", DType::kF32, {1000}}});
  writer.append(0, bytes_of(std::vector<float>(1000, 2.0F)));
  writer.finish();
  const Checkpoint checkpoint = Checkpoint::open(path);
  std::filesystem::resize_file(path, 2000);
  EXPECT_ERROR(export_tensor(checkpoint, *checkpoint.find("x"), folder / "x.safetensors"), ErrorCode::kTruncated,
               "in.safetensors");
  EXPECT_EQ(entries(folder), 1U);
}

}  // namespace
}  // namespace duet
