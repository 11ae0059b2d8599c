#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "formats/synthetic.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace duet {

struct SafetensorsIndex;

/// One tensor as its file has it: name, type, shape [out, in], and where its bytes are.
struct TensorEntry {
  std::string name;
  DType dtype;
  Shape shape;
  int32_t file = 0;     // index into Checkpoint::files()
  uint64_t offset = 0;  // from the start of that file
  uint64_t bytes = 0;
};

enum class CheckpointKind { kGguf, kSafetensors, kFolder };

/// Which parts of a Hugging Face folder must be there. A GGUF file always has all.
struct CheckpointNeeds {
  bool config = false;   // config.json
  bool weights = false;  // tensors
};

/// Whatever lies at a path, opened and validated short of reading weights: a GGUF file (any part of a split one), a
/// .safetensors file, an .index.json, or a Hugging Face folder (single or sharded safetensors, or one GGUF). Tensors
/// and fields as the files have them: no family is known here. Order of judgement and codes: docs/outside-checks.md.
/// Links inside a folder stay inside it; the Hub cache's snapshot links into the sibling blobs folder are the one
/// exception.
class Checkpoint {
 public:
  static Checkpoint open(const std::filesystem::path& path, const CheckpointNeeds& needs = {});
  /// A configuration whose tensors are synthetic, without any yet: `path` is a config.json or its folder, of which
  /// generation_config.json is read too; `change` may edit the configuration.
  static Checkpoint open_config(const std::filesystem::path& path,
                                const std::function<void(Json& config)>& change = {});
  /// Gives a checkpoint of open_config() its tensors.
  void add_synthetic(const std::vector<SyntheticTensor>& tensors, uint64_t seed);
  /// Whether it is one of open_config() that has no tensors yet: whoever asks for one may have it.
  bool wants_tensors() const { return synthetic_ && tensors_.empty(); }

  CheckpointKind kind() const { return kind_; }
  const std::filesystem::path& path() const { return path_; }
  /// Base name of what was opened, for messages.
  std::string name() const;

  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  const TensorEntry* find(std::string_view tensor_name) const;
  const std::vector<std::shared_ptr<const ByteSource>>& files() const { return files_; }
  /// Fills `out` from byte `begin` of the tensor's data. Throws truncated, io_error. Thread-safe.
  void read(const TensorEntry& tensor, uint64_t begin, std::span<std::byte> out) const;

  /// GGUF only; nullptr otherwise. Of a split file: the first part's.
  const GgufMetadata* metadata() const { return metadata_ ? &*metadata_ : nullptr; }
  uint32_t gguf_version() const { return gguf_version_; }

  /// JSON files of a folder, nullptr when absent. Each is a JSON object.
  const Json* config() const { return config_ ? &*config_ : nullptr; }
  const Json* generation_config() const { return generation_config_ ? &*generation_config_ : nullptr; }
  /// Parsed on first use by text/ and chat/, since tokenizers are judged last: the path inside the folder, links
  /// checked; std::nullopt when the folder has no such file (or this is no folder).
  std::optional<std::filesystem::path> folder_file(std::string_view file_name) const;

 private:
  void open_gguf(const std::filesystem::path& path);
  void open_gguf_parts(const std::filesystem::path& path, int64_t count);
  void open_shards(const std::filesystem::path& index_path, const SafetensorsIndex& index);
  void open_folder(const CheckpointNeeds& needs);
  void add_gguf(std::shared_ptr<const ByteSource> file, GgufFile gguf);
  void add_safetensors(std::shared_ptr<const ByteSource> file);
  void add_tensor(TensorEntry entry);

  CheckpointKind kind_ = CheckpointKind::kFolder;
  std::filesystem::path path_;
  std::vector<TensorEntry> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<std::shared_ptr<const ByteSource>> files_;
  bool synthetic_ = false;
  std::optional<GgufMetadata> metadata_;
  uint32_t gguf_version_ = 0;
  std::optional<Json> config_;
  std::optional<Json> generation_config_;
};

}  // namespace duet
