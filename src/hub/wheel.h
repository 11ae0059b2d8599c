#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace duet {

/// Hands out the bytes of one member of a wheel (a zip archive) in pieces, exactly `bytes` in all. Throws hash_mismatch
/// when the archive is damaged, has no such member, or one of another size; io_error when it cannot be read.
void read_wheel_member(const std::filesystem::path& wheel, const std::string& member, uint64_t bytes,
                       const std::function<void(std::span<const std::byte>)>& take);

}  // namespace duet
