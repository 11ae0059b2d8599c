#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/progress.h"

namespace duet {

/// SHA-256 of bytes that come in pieces (OpenSSL's, which uses the CPU's own instructions).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> bytes);
  /// 64 lower-case hexadecimal digits. Ends the sum: a new update() starts from nothing.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// 64 lower-case hexadecimal digits?
bool is_sha256(std::string_view text);

/// Hash of a whole file, shown as "checking NAME". Throws not_found, io_error, cancelled.
std::string sha256_of_file(const std::filesystem::path& path, std::string_view name, ProgressSink& progress,
                           const Cancelled& cancelled);

}  // namespace duet
