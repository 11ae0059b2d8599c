#pragma once

#include <filesystem>
#include <memory>

#include "chat/session.h"

namespace duet {

/// Loads a model that lies at `path`, with progress on standard error once it takes more than half a second. Ctrl-C
/// ends it with Error cancelled.
std::unique_ptr<Session> open_session(const std::filesystem::path& path, const SessionOptions& options);

}  // namespace duet
