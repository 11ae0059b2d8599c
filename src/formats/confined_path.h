#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace duet {

/// Throws path_escape (names `inner` and `file_name`, the file that says it) unless `inner` is a relative name that
/// stays below its folder: no absolute path, no "..", no backslash, no URL, no NUL.
void check_inner_name(std::string_view file_name, std::string_view inner);

/// The path of `inner` in `folder`, or std::nullopt when there is no such entry. Links may point to places inside the
/// folder only. The one exception is the layout of a Hub cache, models--NAME/snapshots/REVISION/FILE, whose files are
/// links to models--NAME/blobs/HASH of the same repository. Throws path_escape (the link leads out), io_error (a loop,
/// no permission), `dangling` (a link to nothing).
std::optional<std::filesystem::path> find_inside(const std::filesystem::path& folder, std::string_view inner,
                                                 ErrorCode dangling = ErrorCode::kNotFound);

}  // namespace duet
