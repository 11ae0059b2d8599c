#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/device.h"
#include "base/file.h"
#include "base/ids.h"
#include "state/sequence_state.h"

namespace duet {

// The state of a sequence as a file (docs/formats.md has the format): pages, recurrent memory and snapshots, with the
// tokens that they belong to. What is read back is what was written, byte for byte, or an error.

/// What a state depends on beside its layout, as names and values in an order of judgement: the model's hash, the
/// arithmetic, ... A value that is empty on either side is not compared.
using StateFields = std::vector<std::pair<std::string, std::string>>;

/// Writes `state` and the `tokens` that led to it (at least state.length_tokens() of them) behind the fields; the file
/// appears with file.commit(). Waits for the device. Throws io_error.
void write_state(OutputFile& file, const StateFields& fields, std::span<const TokenId> tokens, Device& device,
                 const StateLayout& layout, const SequenceState& state);

/// What a reader takes at most.
struct StateLimits {
  int64_t vocabulary = 0;
  int64_t context_tokens = 0;
};

struct SavedState {
  std::vector<TokenId> tokens;
  std::unique_ptr<SequenceState> state;
};

/// Reads a state into fresh memory of `device`; `layout` must outlive it. All sizes are held to the layout before
/// anything is allocated for them. Throws io_error, out_of_memory; of a file that cannot be used bad_magic,
/// unsupported_version, truncated, count_exceeds_file, hash_mismatch, bad_value (names the field and both values),
/// context_overflow.
SavedState read_state(const ByteSource& file, const StateFields& fields, Device& device, const StateLayout& layout,
                      const StateLimits& limits);

}  // namespace duet
