#pragma once

#include <string>

#include "base/json.h"
#include "formats/checkpoint.h"

namespace duet {

/// What `duet inspect --json` prints: format, architecture, parameters, bytes, files, tensor types, metadata or config,
/// and with `list_tensors` every tensor. Long arrays of GGUF metadata are shortened to {"type","length","first"}.
Json inspect_report(const Checkpoint& checkpoint, bool list_tensors);

/// The same for people. Text from the file cannot steer the terminal.
std::string inspect_text(const Json& report);

}  // namespace duet
