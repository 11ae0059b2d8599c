#include "formats/checkpoint.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "base/error.h"
#include "formats/confined_path.h"
#include "formats/gguf_split.h"
#include "formats/hf_json.h"
#include "formats/pickle.h"
#include "formats/safetensors.h"
#include "formats/safetensors_index.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexEnding = ".safetensors.index.json";
constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

enum class FileKind { kGguf, kSafetensors, kIndex };

/// By name, and by the first bytes where the name does not tell (files of a content-addressed store have no ending).
FileKind file_kind(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.ends_with(kIndexEnding)) return FileKind::kIndex;
  if (name.ends_with(".gguf")) return FileKind::kGguf;
  if (name.ends_with(".safetensors")) return FileKind::kSafetensors;
  const auto file = open_file(path);
  std::array<char, 9> first{};
  const size_t known = std::min<size_t>(first.size(), file->size());
  file->read_at(0, std::as_writable_bytes(std::span(first).first(known)));
  const std::string_view bytes(first.data(), known);
  if (bytes.starts_with("GGUF")) return FileKind::kGguf;
  if (has_pickle_name(name)) fail_pickle(name);
  refuse_pickle(*file);
  if (known == first.size() && bytes.substr(4) == std::string_view("\0\0\0\0{", 5)) return FileKind::kSafetensors;
  fail(ErrorCode::kBadMagic,
       "{}: starts with '{}', expected a GGUF file ('GGUF'), a safetensors file or a model's folder", name,
       printable(bytes));
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : "."; }

/// Names of the folder's files that are wanted, sorted, so that what is found does not depend on the disk.
template <typename Predicate>
std::vector<std::string> list_files(const fs::path& folder, const Predicate& wanted) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (std::string name = at->path().filename().string(); wanted(name)) names.push_back(std::move(name));
  }
  if (error) fail(ErrorCode::kIoError, "{}: cannot list the folder: {}", folder.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

/// The folder's only GGUF model: one file, or all parts of one split file.
std::optional<std::string> find_gguf(const fs::path& folder) {
  const std::vector<std::string> names = list_files(folder, [](const std::string& n) { return n.ends_with(".gguf"); });
  if (names.empty()) return std::nullopt;
  const auto first = GgufPartName::parse(names.front());
  const bool one_model = std::all_of(names.begin() + 1, names.end(), [&](const std::string& name) {
    const auto part = GgufPartName::parse(name);
    return first && part && part->prefix == first->prefix && part->count == first->count;
  });
  if (!one_model) {
    throw Error(ErrorCode::kBadValue,
                fmt::format("{}: the folder holds {} GGUF files, among them {} and {}", folder.string(), names.size(),
                            names.front(), names.back()),
                "name the one that is meant");
  }
  return names.front();
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& path, const CheckpointNeeds& needs) {
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    checkpoint.open_folder(needs);
    return checkpoint;
  }
  switch (file_kind(path)) {
    case FileKind::kGguf:
      checkpoint.open_gguf(path);
      break;
    case FileKind::kSafetensors:
      checkpoint.kind_ = CheckpointKind::kSafetensors;
      checkpoint.add_safetensors(open_file(path));
      break;
    case FileKind::kIndex:
      checkpoint.kind_ = CheckpointKind::kSafetensors;
      checkpoint.open_shards(path, read_safetensors_index(path));
      break;
  }
  return checkpoint;
}

Checkpoint Checkpoint::open_config(const fs::path& path, const std::function<void(Json& config)>& change) {
  Checkpoint checkpoint;
  checkpoint.synthetic_ = true;
  std::error_code error;
  const bool folder = fs::is_directory(path, error);
  checkpoint.path_ = folder ? path : folder_of(path);
  const auto config_path = folder ? checkpoint.folder_file("config.json") : path;
  if (!config_path) fail(ErrorCode::kNotFound, "{}: no such file", (path / "config.json").string());
  checkpoint.config_ = read_json_object(*config_path);
  if (change) change(*checkpoint.config_);
  if (const auto generation = checkpoint.folder_file("generation_config.json")) {
    checkpoint.generation_config_ = read_json_object(*generation);
    check_generation_config(*checkpoint.generation_config_, checkpoint.config());
  }
  return checkpoint;
}

void Checkpoint::add_synthetic(const std::vector<SyntheticTensor>& tensors, uint64_t seed) {
  files_.push_back(synthetic_source(tensors, seed));
  uint64_t at = 0;
  for (const SyntheticTensor& tensor : tensors) {
    add_tensor({tensor.name, DType::kBF16, tensor.shape, 0, at, tensor.bytes()});
    at += tensor.bytes();
  }
}

std::string Checkpoint::name() const {
  const fs::path path = path_.has_filename() ? path_ : path_.parent_path();
  return path.filename().string();
}

const TensorEntry* Checkpoint::find(std::string_view tensor_name) const {
  const auto found = index_.find(std::string(tensor_name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void Checkpoint::read(const TensorEntry& tensor, uint64_t begin, std::span<std::byte> out) const {
  const ByteSource& file = *files_[static_cast<size_t>(tensor.file)];
  if (begin > tensor.bytes || out.size() > tensor.bytes - begin) {
    fail(ErrorCode::kTruncated, "{}: tensor '{}': {} bytes needed at byte {} of its {}", file.name(),
         printable(tensor.name), out.size(), begin, tensor.bytes);
  }
  file.read_at(tensor.offset + begin, out);
}

std::optional<fs::path> Checkpoint::folder_file(std::string_view file_name) const {
  if (kind_ != CheckpointKind::kFolder) return std::nullopt;
  return find_inside(path_, file_name);
}

void Checkpoint::add_tensor(TensorEntry entry) {
  const auto [at, is_new] = index_.emplace(entry.name, tensors_.size());
  if (!is_new) {
    fail(ErrorCode::kDuplicateTensor, "{}: tensor '{}' stands in {} as well",
         files_[static_cast<size_t>(entry.file)]->name(), printable(entry.name),
         files_[static_cast<size_t>(tensors_[at->second].file)]->name());
  }
  tensors_.push_back(std::move(entry));
}

void Checkpoint::add_gguf(std::shared_ptr<const ByteSource> file, GgufFile gguf) {
  if (!metadata_) {
    gguf_version_ = gguf.version;
    metadata_ = std::move(gguf.metadata);
  }
  const auto index = static_cast<int32_t>(files_.size());
  files_.push_back(std::move(file));
  for (GgufTensor& tensor : gguf.tensors) {
    add_tensor({std::move(tensor.name), tensor.dtype, tensor.shape, index, tensor.offset, tensor.bytes});
  }
}

void Checkpoint::open_gguf(const fs::path& path) {
  kind_ = CheckpointKind::kGguf;
  path_ = path;
  std::shared_ptr<const ByteSource> file = open_file(path);
  GgufFile gguf = parse_gguf(*file);
  const int64_t count = gguf_part_count(gguf.metadata);
  if (count > 1) {
    open_gguf_parts(path, count);
  } else {
    add_gguf(std::move(file), std::move(gguf));
  }
}

void Checkpoint::open_gguf_parts(const fs::path& path, int64_t count) {
  const std::string own_name = path.filename().string();
  auto name = GgufPartName::parse(own_name);
  if (!name) {
    fail(ErrorCode::kMissingShard,
         "{}: is one of {} parts of a split file, but its name does not tell the others' (NAME-00001-of-{:05}.gguf)",
         own_name, count, count);
  }
  if (name->count != count) {
    fail(ErrorCode::kShardMismatch, "{}: key 'split.count' is {}, but the name says {}", own_name, count, name->count);
  }
  for (name->part = 0; name->part < count; ++name->part) {
    const auto part_path = find_inside(folder_of(path), name->str(), ErrorCode::kMissingShard);
    if (!part_path) {
      fail(ErrorCode::kMissingShard, "{}: missing beside {}: part {} of {}", name->str(), own_name, name->part + 1,
           count);
    }
    std::shared_ptr<const ByteSource> file = open_file(*part_path);
    GgufFile gguf = parse_gguf(*file);
    check_gguf_part(metadata_ ? *metadata_ : gguf.metadata, gguf.metadata, name->part);
    add_gguf(std::move(file), std::move(gguf));
  }
  const int64_t tensors = metadata_->require_integer("split.tensors.count");
  if (tensors != static_cast<int64_t>(tensors_.size())) {
    fail(ErrorCode::kShardMismatch, "{}: key 'split.tensors.count' is {}, but the {} parts hold {} tensors",
         metadata_->file_name(), tensors, count, tensors_.size());
  }
}

void Checkpoint::add_safetensors(std::shared_ptr<const ByteSource> file) {
  SafetensorsFile parsed = parse_safetensors(*file);
  const auto index = static_cast<int32_t>(files_.size());
  files_.push_back(std::move(file));
  for (SafetensorsTensor& tensor : parsed.tensors) {
    add_tensor({std::move(tensor.name), tensor.dtype, tensor.shape, index, tensor.offset, tensor.bytes});
  }
}

void Checkpoint::open_shards(const fs::path& index_path, const SafetensorsIndex& index) {
  const std::string name = index_path.filename().string();
  const fs::path folder = folder_of(index_path);
  for (const std::string& shard : index.shards) {
    const auto shard_path = find_inside(folder, shard, ErrorCode::kMissingShard);
    if (!shard_path) {
      fail(ErrorCode::kMissingShard, "{}: missing, but {} lists it", printable(shard, 255), name);
    }
    add_safetensors(open_file(*shard_path));
  }
  for (const auto& [tensor, shard] : index.tensors) {
    const TensorEntry* entry = find(tensor);
    if (entry == nullptr || entry->file != shard) {
      const auto place = entry == nullptr ? "no shard" : files_[static_cast<size_t>(entry->file)]->name();
      fail(ErrorCode::kShardMismatch, "{}: tensor '{}' should lie in {}, but lies in {}", name, printable(tensor),
           index.shards[static_cast<size_t>(shard)], place);
    }
  }
  if (index.tensors.size() == tensors_.size()) return;
  for (const TensorEntry& entry : tensors_) {
    const auto at = std::lower_bound(index.tensors.begin(), index.tensors.end(), entry.name,
                                     [](const auto& pair, const std::string& wanted) { return pair.first < wanted; });
    if (at == index.tensors.end() || at->first != entry.name) {
      fail(ErrorCode::kShardMismatch, "{}: tensor '{}' of {} is not in weight_map", name, printable(entry.name),
           files_[static_cast<size_t>(entry.file)]->name());
    }
  }
}

/// Every JSON file that is present is judged first, then a missing config.json is reported, then come the weights.
void Checkpoint::open_folder(const CheckpointNeeds& needs) {
  kind_ = CheckpointKind::kFolder;
  if (const auto path = folder_file("config.json")) config_ = read_json_object(*path);
  if (const auto path = folder_file("generation_config.json")) {
    generation_config_ = read_json_object(*path);
    check_generation_config(*generation_config_, config());
  }
  const auto single = folder_file(kSingleFile);
  const auto index_path = folder_file(kIndexFile);
  SafetensorsIndex index;
  if (index_path) index = read_safetensors_index(*index_path);
  if (!single && !index_path) {
    if (const auto gguf = find_gguf(path_)) {
      const fs::path path = *folder_file(*gguf);
      config_.reset(), generation_config_.reset();  // a GGUF file is whole in itself
      open_gguf(path);
      return;
    }
  }
  if (needs.config && !config_) {
    fail(ErrorCode::kNotFound, "{}: no such file", (path_ / "config.json").string());
  }
  if (single) {  // with an index beside it the single file counts, as it does for transformers
    add_safetensors(open_file(*single));
  } else if (index_path) {
    open_shards(*index_path, index);
  } else if (needs.config || needs.weights) {
    const auto pickles = list_files(path_, has_pickle_name);
    if (!pickles.empty()) fail_pickle(pickles.front());
    if (needs.weights) {
      fail(ErrorCode::kNotFound, "{}: the folder has no {}, no {} and no .gguf file", path_.string(), kSingleFile,
           kIndexFile);
    }
  }
}

}  // namespace duet
