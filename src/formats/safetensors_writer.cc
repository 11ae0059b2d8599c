#include "formats/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/check.h"
#include "base/json.h"
#include "formats/safetensors.h"

namespace duet {

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::vector<Declared>& tensors)
    : file_(path), regions_(tensors.size()) {
  // Data begins at a multiple of 8 and wide types come first, so that every tensor is aligned for readers that map the
  // file.
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return dtype_info(tensors[a].dtype).block_bytes > dtype_info(tensors[b].dtype).block_bytes;
  });
  uint64_t at = 0;
  for (const size_t i : order) {
    regions_[i].begin = at;
    at += static_cast<uint64_t>(row_bytes(dtype_info(tensors[i].dtype), tensors[i].shape.elements()));
    regions_[i].end = at;
  }
  Json::Object header;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string_view dtype = safetensors_dtype_name(tensors[i].dtype);
    DUET_CHECK(!dtype.empty());
    Json::Array shape;
    for (int d = 0; d < tensors[i].shape.rank(); ++d) shape.emplace_back(tensors[i].shape[d]);
    header.emplace_back(tensors[i].name,
                        Json::Object{{"dtype", dtype},
                                     {"shape", std::move(shape)},
                                     {"data_offsets", Json::Array{static_cast<int64_t>(regions_[i].begin),
                                                                  static_cast<int64_t>(regions_[i].end)}}});
  }
  std::string text = Json(std::move(header)).dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  static_assert(std::endian::native == std::endian::little, "the length is written as it is");
  const uint64_t length = text.size();
  file_.write_at(0, std::as_bytes(std::span(&length, 1)));
  file_.write_at(sizeof length, std::as_bytes(std::span(text)));
  for (Region& region : regions_) {
    region.begin += sizeof length + length;
    region.end += sizeof length + length;
  }
}

void SafetensorsWriter::append(size_t tensor, std::span<const std::byte> bytes) {
  put(tensor, regions_[tensor].filled, bytes);
}

void SafetensorsWriter::put(size_t tensor, uint64_t begin, std::span<const std::byte> bytes) {
  Region& region = regions_[tensor];
  DUET_CHECK(begin <= region.end - region.begin && bytes.size() <= region.end - region.begin - begin);
  file_.write_at(region.begin + begin, bytes);
  region.filled += bytes.size();
}

void SafetensorsWriter::finish() {
  for (const Region& region : regions_) DUET_CHECK(region.filled == region.end - region.begin);
  file_.commit();
}

}  // namespace duet
