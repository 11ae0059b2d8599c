#pragma once

#include <string>

#include "formats/checkpoint.h"

namespace duet {

/// 16 hexadecimal digits that tell a model from others wherever its files lie (docs/formats.md): XXH64 over its
/// config.json, over the head of each of its files (all before the first tensor's data: names, types, shapes, the
/// metadata of a GGUF file), and over samples of every tensor's data. Reads a few KiB of each tensor, so it takes
/// milliseconds, not the time to read a model; a change to single rows of a matrix may go unseen. Throws what reading
/// throws.
std::string model_fingerprint(const Checkpoint& checkpoint);

}  // namespace duet
