#include "formats/safetensors_index.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/confined_path.h"
#include "formats/pickle.h"

namespace duet {
namespace {

constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;
constexpr size_t kMaxIndexTensors = 400'000;
constexpr std::string_view kMapKey = "weight_map";

/// Takes the map entry by entry; the rest of the file ("metadata" with its total_size) is information.
/// The first fault in meaning is kept until the whole text has proved to be JSON.
class IndexEvents final : public JsonEvents {
 public:
  explicit IndexEvents(const std::string& file_name) : file_name_(file_name) {}

  void scalar(Json value) override {
    if (fault_) return;
    if (depth_ == 0) {
      fault(ErrorCode::kBadJson, fmt::format("of type {}, expected an object", value.kind_name()));
    } else if (depth_ == 1 && in_map_) {
      fault_map(value.kind_name());
    } else if (depth_ == 2 && in_map_) {
      add(value);
    }
  }
  void begin_object() override {
    ++depth_;
    if (depth_ == 3 && in_map_ && !fault_) fault_entry("an object");
  }
  void begin_array() override {
    ++depth_;
    if (fault_) return;
    if (depth_ == 1) fault(ErrorCode::kBadJson, "of type array, expected an object");
    if (depth_ == 2 && in_map_) fault_map("array");
    if (depth_ == 3 && in_map_) fault_entry("an array");
  }
  void key(std::string key) override {
    if (fault_) return;
    if (depth_ == 1) {
      in_map_ = key == kMapKey;
      if (in_map_ && map_seen_) fault(ErrorCode::kBadKey, fmt::format("key '{}' stands twice", kMapKey));
      map_seen_ |= in_map_;
    } else if (depth_ == 2 && in_map_) {
      tensor_ = std::move(key);
    }
  }
  void end() override { --depth_; }

  SafetensorsIndex take() {
    if (!fault_ && !map_seen_) fault(ErrorCode::kMissingKey, fmt::format("key '{}' is missing", kMapKey));
    if (fault_) throw *std::move(fault_);
    std::sort(index_.tensors.begin(), index_.tensors.end());
    const auto twice = std::adjacent_find(index_.tensors.begin(), index_.tensors.end(),
                                          [](const auto& a, const auto& b) { return a.first == b.first; });
    if (twice != index_.tensors.end()) {
      fail(ErrorCode::kBadKey, "{}: tensor '{}' stands twice in {}", file_name_, printable(twice->first), kMapKey);
    }
    return std::move(index_);
  }

 private:
  void fault(ErrorCode code, const std::string& what) { fault_.emplace(code, fmt::format("{}: {}", file_name_, what)); }
  void fault_map(std::string_view kind) {
    fault(ErrorCode::kBadValue, fmt::format("{} is of type {}, expected an object", kMapKey, kind));
  }
  void fault_entry(std::string_view found) {
    fault(ErrorCode::kBadValue, fmt::format("{}: the file of tensor '{}' is {}, expected the name of a shard", kMapKey,
                                            printable(tensor_), found));
  }

  void add(const Json& value) {
    if (!value.is_string() || value.string().empty()) return fault_entry(printable(value.dump()));
    if (index_.tensors.size() == kMaxIndexTensors) {
      return fault(ErrorCode::kTooLarge, fmt::format("{} lists more than {} tensors", kMapKey, kMaxIndexTensors));
    }
    const std::string& shard = value.string();
    const auto [at, is_new] = shard_index_.emplace(shard, static_cast<int32_t>(index_.shards.size()));
    if (is_new) {
      try {
        check_inner_name(file_name_, shard);
        if (has_pickle_name(shard)) fail_pickle(shard);
      } catch (const Error& error) {
        fault_.emplace(error);
        return;
      }
      index_.shards.push_back(shard);
    }
    index_.tensors.emplace_back(std::move(tensor_), at->second);
  }

  const std::string& file_name_;
  SafetensorsIndex index_;
  std::unordered_map<std::string, int32_t> shard_index_;
  std::optional<Error> fault_;
  int depth_ = 0;
  bool in_map_ = false;
  bool map_seen_ = false;
  std::string tensor_;
};

}  // namespace

SafetensorsIndex read_safetensors_index(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  IndexEvents events(name);
  parse_json_events(read_text_file(path, kMaxIndexBytes), name, {}, events);
  return events.take();
}

}  // namespace duet
