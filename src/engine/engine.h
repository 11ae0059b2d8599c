#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/request.h"
#include "engine/speculative.h"
#include "state/state_file.h"

namespace duet {

class Decoder;

struct EngineOptions {
  int64_t context_tokens = 0;  // 0 = the model's own; at most that
  SpeculationOptions speculation;
  int64_t max_step_rows = 256;  // a prompt is read in steps of at most this many rows, so that cancel() acts soon
};

/// Rows of logits that are in memory at once: 32 rows of 152k float32 are 19 MB.
inline constexpr int64_t kHeadTileRows = 32;

/// Tokens between the places at which a state keeps what it needs to go on there (SequenceState::snapshot()), beside
/// the end of the prompt.
inline constexpr int64_t kSnapshotTokens = 1024;

/// Rows of score(): logits [rows, V] on the host, of positions [first, first + rows).
using RowSink = std::function<void(int64_t first, int64_t rows, std::span<const float> logits)>;
/// Residual rows of score(): index 0..L as HiddenSink, L + 1 after the final norm; values [rows, C] on the host.
using HiddenRowSink = std::function<void(int64_t index, int64_t first, int64_t rows, std::span<const float> values)>;

/// Owns the sequences' states and runs them through the decoder, one batch a step. Used by one thread.
/// A failed request changes no other; the text of a request does not depend on what else is in flight.
class Engine {
 public:
  explicit Engine(std::shared_ptr<const Decoder> decoder, const EngineOptions& options = {});
  ~Engine();

  int64_t context_tokens() const;
  /// Throws bad_value (no prompt, id out of range, sampling parameter out of range) or context_overflow (names both
  /// sizes).
  RequestId submit(Request request);
  /// The request ends with FinishReason::kCancelled at the next step. Unknown ids are ignored.
  void cancel(RequestId id);
  /// Runs one step of everything in flight and returns what happened; empty when nothing is in flight.
  std::vector<EngineEvent> step();
  bool idle() const;

  /// Logits of every position of one sequence from position 0, in row tiles. Throws bad_value, context_overflow,
  /// non_finite. `wants_row` (may be empty = all) skips the head for rows that nobody wants.
  /// `mtp` receives the logits of the head that predicts one token further, in the same rows; the slot of the last id
  /// takes the likeliest next one, whatever `wants_row` says of it. Throws unsupported_feature where the decoder has
  /// none.
  void score(std::span<const TokenId> ids, const RowSink& sink, const HiddenRowSink& hidden = {},
             const std::function<bool(int64_t position)>& wants_row = {}, const RowSink& mtp = {});

  /// Writes the state of the request that finished last, with its tokens; `fields` say what it depends on beside the
  /// backend's arithmetic and the layout (write_state()). Returns the tokens of which the state is. Throws not_found
  /// (no request has finished), io_error.
  int64_t save_state(OutputFile& file, const StateFields& fields);
  /// Puts a saved state beside those of finished requests, so that the next prompt goes on from what it has in common
  /// with it. Returns its tokens. Throws not_found and what read_state() throws.
  int64_t load_state(const std::filesystem::path& path, const StateFields& fields);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace duet
