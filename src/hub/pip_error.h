#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "hub/catalog.h"

namespace duet {

/// What to do where python3 or its pip is missing.
inline constexpr const char* kPythonHint = "install it: apt-get install python3-pip python3-venv";

/// The one line that pip's output amounts to. `free_bytes`: what is free where pip wrote.
Error pip_error(const WheelPart& part, int exit_status, std::string_view output, uint64_t free_bytes);

}  // namespace duet
