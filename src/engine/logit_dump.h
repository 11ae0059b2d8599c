#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/json.h"
#include "formats/safetensors_writer.h"

namespace duet {

class Engine;
struct ModelSpec;

/// Row `position` of sequence `prompt`.
struct LogitRow {
  int64_t prompt = 0, position = 0;
  bool operator==(const LogitRow&) const = default;
};

/// What to compute.
struct LogitJob {
  std::vector<std::vector<TokenId>> prompts;
  std::vector<LogitRow> rows;  // in the order of the output
  bool hidden = false;
  bool mtp = false;
  int64_t greedy_tokens = 0;
};

/// Sequences from [[1, 2], [3]] or {"prompts": [[1, 2], [3]]}. `name` is the file's name for messages.
/// Throws bad_type, missing_key, bad_value (no sequence, an empty one, an id outside 0 to vocabulary - 1),
/// context_overflow.
std::vector<std::vector<TokenId>> read_prompts(const Json& json, std::string_view name, const ModelSpec& spec);
/// Rows from [[prompt, position], ...]. Throws bad_type, bad_value (none, or one that is not there).
std::vector<LogitRow> read_rows(const Json& json, std::string_view name,
                                const std::vector<std::vector<TokenId>>& prompts);
/// Every row of every sequence, in order.
std::vector<LogitRow> all_rows(const std::vector<std::vector<TokenId>>& prompts);

/// Computes a job into a safetensors file: `logits` F32 [rows, V]; with `hidden` also hidden.0 (after the embedding),
/// hidden.1 ... hidden.L (after each layer) and hidden.norm (after the final norm), F32 [rows, C]; with `mtp` also
/// mtp_logits F32 [rows, V], of the head that predicts one token further (the slot of a sequence's last id takes the
/// likeliest next one); with greedy_tokens N also greedy_ids I64 [S, N], end tokens ignored. Rows go to the disk as
/// they are computed; the file is there only when all is right.
class LogitDump {
 public:
  /// Writes the file's header under a temporary name. Throws context_overflow, io_error, not_found (no such folder).
  LogitDump(LogitJob job, const ModelSpec& spec, const std::filesystem::path& out);
  /// `engine` is of that model, with its whole context. `check` is called between steps and may throw to cancel;
  /// `progress`, where given, is told how many tokens of all, greedy ones included, are done.
  /// Throws non_finite, out_of_memory, io_error (a full disk).
  void run(Engine& engine, const std::function<void()>& check,
           const std::function<void(int64_t done, int64_t total)>& progress = {});

 private:
  struct Placed {
    LogitRow row;
    int64_t place;  // its row in the output
  };
  void write_rows(size_t tensor, std::span<const Placed> wanted, int64_t first, int64_t count,
                  std::span<const float> values);

  LogitJob job_;
  std::vector<Placed> placed_;  // by prompt, then position
  std::optional<SafetensorsWriter> writer_;
  size_t first_hidden_ = 0, mtp_ = 0, greedy_ = 0;  // numbers of tensors in the file
};

}  // namespace duet
