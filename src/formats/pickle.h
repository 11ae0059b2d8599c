#pragma once

#include <string_view>

#include "base/file.h"

namespace duet {

/// Whether a file of this name usually holds Python pickles: .bin, .pt, .pth, .ckpt, .pkl.
bool has_pickle_name(std::string_view file_name);

/// Throws pickle_refused if the bytes are those of a pickle or of the zip archive that torch.save writes: unpickling
/// runs code that the file brings along, so such files are never read.
void refuse_pickle(const ByteSource& source);

/// Throws pickle_refused for the file of this name.
[[noreturn]] void fail_pickle(std::string_view file_name);

}  // namespace duet
